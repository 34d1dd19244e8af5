//! Frames that one holder owns.

use papr::addr::GpaRange;

/// Whole frames of RAM that nothing else of this kernel uses. Safe code gets them from a
/// [`MemoryMap`](super::MemoryMap), each frame once. To share the frames, or to add them to a heap, consumes this
/// value. Dropped frames are never used again.
///
/// ```compile_fail,E0423
/// use papr::addr::{Gpa, GpaRange};
/// use svm_dma::memory_map::OwnedFrames;
/// let mine = OwnedFrames(GpaRange { start: Gpa(0x10_0000), len: 0x1_0000 });
/// ```
///
/// ```compile_fail,E0382
/// fn twice(frames: svm_dma::memory_map::OwnedFrames) {
///     drop(frames);
///     drop(frames);
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "frames that are dropped are never used again"]
pub struct OwnedFrames(GpaRange);

impl OwnedFrames {
    /// Frames that the map has not given out before and will not give out again.
    pub(super) const fn of_map(range: GpaRange) -> Self {
        Self(range)
    }

    /// Frames of a kernel that records the owners of memory in another way.
    ///
    /// # Safety
    /// The range is whole 64 KiB frames of RAM, nothing uses them, and this is the only value made of them.
    #[allow(unsafe_code, reason = "only the caller knows who owns the frames")]
    pub const unsafe fn new(range: GpaRange) -> Self {
        Self(range)
    }

    /// The frames' guest physical addresses.
    #[must_use]
    pub const fn range(&self) -> GpaRange {
        self.0
    }
}
