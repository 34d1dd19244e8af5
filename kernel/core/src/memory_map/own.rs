//! What the kernel itself occupies when it starts.

use crate::addr::GpaRange;

/// The kernel's own memory at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The loaded image, with its stacks and its early heap.
    pub image: GpaRange,
    /// The part of the image that is room for a tree.
    pub tree_buffer: GpaRange,
    /// The tree that was handed over.
    pub tree: GpaRange,
}

impl Own {
    /// Whether a reservation is the loader's note of the image. The boot stage reserves all of it. QEMU reserves
    /// the part that it loaded; in secure mode that is not accepted, as the ultravisor's own areas, which it shares
    /// with the host, look the same.
    pub(super) fn is_noted_by(&self, reserved: &GpaRange, secure: bool) -> bool {
        let starts = reserved.start == self.image.start;
        if secure {
            starts && reserved.len == self.image.len
        } else {
            starts && reserved.len <= self.image.len
        }
    }
}
