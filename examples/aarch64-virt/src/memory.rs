//! Memory for the device: frames of RAM that have no other use.

use papr::addr::{Gpa, GpaRange};
use papr::parts::index;
use papr::platform::DeviceMemory;
use svm_dma::memory_map::OwnedFrames;

/// A piece of such memory.
#[derive(Clone, Debug)]
pub struct Bytes {
    base: *mut u8,
    len: usize,
}

// SAFETY: one CPU runs this guest.
unsafe impl Send for Bytes {}
// SAFETY: as above; no reference to the bytes is made.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// The memory of these frames, which have no other owner any more.
    pub fn of_frames(frames: OwnedFrames) -> Self {
        let GpaRange { start, len } = frames.range();
        Self { base: core::ptr::with_exposed_provenance_mut(index(start.0)), len: index(len) }
    }

    /// Address of an access; `None` if it is misaligned or not wholly inside.
    fn at(&self, offset: usize, len: usize, align: usize) -> Option<*mut u8> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        let at = self.base.wrapping_add(offset);
        (inside && at.addr().is_multiple_of(align)).then_some(at)
    }
}

// SAFETY: the bytes are RAM whose only owner gave it away for good: no reference or allocation lies in it. RAM is
// mapped to its own address, so `gpa` and `len` name those bytes, and `at` lets no access leave them.
unsafe impl DeviceMemory for Bytes {
    fn len(&self) -> usize {
        self.len
    }

    fn gpa(&self) -> Gpa {
        Gpa(self.base.addr() as u64)
    }

    fn part(&self, offset: usize, len: usize) -> Option<Self> {
        Some(Self { base: self.at(offset, len, 1)?, len })
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        let Some(from) = self.at(offset, out.len(), 1) else {
            out.fill(0);
            return;
        };
        for (i, byte) in out.iter_mut().enumerate() {
            // SAFETY: `at` checked that all bytes lie inside the piece.
            *byte = unsafe { from.add(i).read_volatile() };
        }
    }

    fn write(&self, offset: usize, data: &[u8]) {
        let Some(to) = self.at(offset, data.len(), 1) else { return };
        for (i, byte) in data.iter().enumerate() {
            // SAFETY: `at` checked that all bytes lie inside the piece.
            unsafe { to.add(i).write_volatile(*byte) };
        }
    }

    fn zero(&self, offset: usize, len: usize) {
        let Some(to) = self.at(offset, len, 1) else { return };
        for i in 0..len {
            // SAFETY: `at` checked that all bytes lie inside the piece.
            unsafe { to.add(i).write_volatile(0) };
        }
    }

    fn load16(&self, offset: usize) -> u16 {
        // SAFETY: `at` checked that the access is aligned and inside the piece.
        self.at(offset, 2, 2).map_or(0, |at| u16::from_le(unsafe { at.cast::<u16>().read_volatile() }))
    }

    fn load32(&self, offset: usize) -> u32 {
        // SAFETY: `at` checked that the access is aligned and inside the piece.
        self.at(offset, 4, 4).map_or(0, |at| u32::from_le(unsafe { at.cast::<u32>().read_volatile() }))
    }

    fn store16(&self, offset: usize, value: u16) {
        if let Some(at) = self.at(offset, 2, 2) {
            // SAFETY: `at` checked that the access is aligned and inside the piece.
            unsafe { at.cast::<u16>().write_volatile(value.to_le()) };
        }
    }

    fn store32(&self, offset: usize, value: u32) {
        if let Some(at) = self.at(offset, 4, 4) {
            // SAFETY: `at` checked that the access is aligned and inside the piece.
            unsafe { at.cast::<u32>().write_volatile(value.to_le()) };
        }
    }

    fn store64(&self, offset: usize, value: u64) {
        if let Some(at) = self.at(offset, 8, 8) {
            // SAFETY: `at` checked that the access is aligned and inside the piece.
            unsafe { at.cast::<u64>().write_volatile(value.to_le()) };
        }
    }
}
