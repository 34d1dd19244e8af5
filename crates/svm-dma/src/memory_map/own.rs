//! What the kernel itself occupies when it starts.

use super::claim::{Claim, Kind, MapError};
use super::whole_frames;
use papr::addr::GpaRange;

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
    /// Checks that the tree can be copied into the image's memory: it lies in its buffer, or in no frame of the image.
    /// Called before the tree is read, so before there is a map.
    ///
    /// # Errors
    /// The tree and the image overlap.
    pub fn tree_is_apart(&self) -> Result<(), MapError> {
        let claim = Claim { kind: Kind::Tree, range: whole_frames(self.tree) };
        let other = Claim { kind: Kind::Image, range: self.image };
        if self.tree_buffer.contains(self.tree.start, self.tree.len) || !claim.excludes(&other) {
            return Ok(());
        }
        Err(MapError::Overlap { claim, other })
    }

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
