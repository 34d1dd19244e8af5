//! Frames that one holder owns.

use crate::memory::device::DeviceBytes;
use postern_core::addr::GpaRange;

/// Whole frames of RAM that nothing else in the kernel uses. The map gives out each frame once; who shares frames with
/// the host, or adds them to the heap, gives this away for good.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnedFrames(GpaRange);

impl OwnedFrames {
    /// Takes over `range`.
    ///
    /// # Safety
    /// The memory map gave `range` out, once, and this is the only value made of it.
    pub unsafe fn conjure(range: GpaRange) -> Self {
        Self(range)
    }

    /// Where the frames lie.
    pub fn range(&self) -> GpaRange {
        self.0
    }

    /// The first byte and the number of bytes.
    pub fn into_bytes(self) -> (*mut u8, usize) {
        const { assert!(usize::BITS == u64::BITS, "an address is a pointer") };
        (core::ptr::with_exposed_provenance_mut(self.0.start.0 as usize), self.0.len as usize)
    }

    /// Memory for devices.
    pub fn into_device_bytes(self) -> DeviceBytes {
        // SAFETY: the frames are RAM of this value's alone, which ends here.
        unsafe { DeviceBytes::new(self.0) }
    }
}
