//! Memory that devices see: the shared pool in secure mode, plain frames in normal mode. Only copies in
//! and out, volatile, each byte once; no reference to it exists.

use core::fmt;
use postern_core::addr::{Gpa, GpaRange};
use postern_core::seam::DeviceMemory;

/// A piece of memory that a device may change at any moment.
#[derive(Clone)]
pub struct DeviceBytes {
    base: *mut u8,
    len: usize,
}

// SAFETY: the pointer names memory, not an owner: every access is volatile through a raw pointer, and what
// the bytes mean is agreed on elsewhere, under the locks of those who share a piece.
unsafe impl Send for DeviceBytes {}
// SAFETY: as above; concurrent accesses are as harmless as the device's own.
unsafe impl Sync for DeviceBytes {}

impl DeviceBytes {
    /// The memory at `range`.
    ///
    /// # Safety
    /// `range` is RAM, not otherwise used by Rust code (no reference or allocation lies in it) as long as
    /// any clone or part of this lives.
    pub unsafe fn new(range: GpaRange) -> Self {
        Self { base: range.start.0 as *mut u8, len: range.len as usize }
    }

    /// The first byte, for giving the memory back to the heap it came from.
    pub fn as_ptr(&self) -> *mut u8 {
        self.base
    }

    fn at(&self, offset: usize, len: usize, align: usize) -> Option<*mut u8> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        debug_assert!(inside, "access {offset:#x}+{len:#x} outside device memory of {:#x}", self.len);
        if !inside {
            return None;
        }
        // SAFETY: `offset` is inside the piece (or one past its end when `len` is 0).
        let at = unsafe { self.base.add(offset) };
        (at as usize).is_multiple_of(align).then_some(at)
    }
}

impl fmt::Debug for DeviceBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBytes({:p}+{:#x})", self.base, self.len)
    }
}

/// Bytes before the first 8-byte boundary at or after `at`, at most `len`.
fn head_len(at: *mut u8, len: usize) -> usize {
    ((at as usize).wrapping_neg() & 7).min(len)
}

impl DeviceMemory for DeviceBytes {
    fn len(&self) -> usize {
        self.len
    }

    fn gpa(&self) -> Gpa {
        Gpa(self.base as u64)
    }

    fn part(&self, offset: usize, len: usize) -> Option<Self> {
        Some(Self { base: self.at(offset, len, 1)?, len })
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        let Some(mut from) = self.at(offset, out.len(), 1) else {
            out.fill(0);
            return;
        };
        let (head, rest) = out.split_at_mut(head_len(from, out.len()));
        let mut words = rest.chunks_exact_mut(8);
        // SAFETY: `at` checked that `out.len()` bytes from `from` lie inside this piece, which is RAM; the
        // three loops walk over exactly these bytes, the middle one at 8-byte boundaries.
        unsafe {
            for byte in head {
                *byte = from.read_volatile();
                from = from.add(1);
            }
            for word in words.by_ref() {
                word.copy_from_slice(&from.cast::<u64>().read_volatile().to_ne_bytes());
                from = from.add(8);
            }
            for byte in words.into_remainder() {
                *byte = from.read_volatile();
                from = from.add(1);
            }
        }
    }

    fn write(&self, offset: usize, data: &[u8]) {
        let Some(mut to) = self.at(offset, data.len(), 1) else { return };
        let (head, rest) = data.split_at(head_len(to, data.len()));
        let words = rest.chunks_exact(8);
        // SAFETY: as in `read`.
        unsafe {
            for byte in head {
                to.write_volatile(*byte);
                to = to.add(1);
            }
            let tail = words.remainder();
            for word in words {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(word);
                to.cast::<u64>().write_volatile(u64::from_ne_bytes(bytes));
                to = to.add(8);
            }
            for byte in tail {
                to.write_volatile(*byte);
                to = to.add(1);
            }
        }
    }

    fn zero(&self, offset: usize, len: usize) {
        let Some(mut to) = self.at(offset, len, 1) else { return };
        let head = head_len(to, len);
        let (words, tail) = ((len - head) / 8, (len - head) % 8);
        // SAFETY: as in `read`.
        unsafe {
            for _ in 0..head {
                to.write_volatile(0);
                to = to.add(1);
            }
            for _ in 0..words {
                to.cast::<u64>().write_volatile(0);
                to = to.add(8);
            }
            for _ in 0..tail {
                to.write_volatile(0);
                to = to.add(1);
            }
        }
    }

    fn load16(&self, offset: usize) -> u16 {
        // SAFETY: inside the piece and aligned, checked by `at`.
        self.at(offset, 2, 2).map_or(0, |at| u16::from_le(unsafe { at.cast::<u16>().read_volatile() }))
    }

    fn load32(&self, offset: usize) -> u32 {
        // SAFETY: inside the piece and aligned, checked by `at`.
        self.at(offset, 4, 4).map_or(0, |at| u32::from_le(unsafe { at.cast::<u32>().read_volatile() }))
    }

    fn store16(&self, offset: usize, value: u16) {
        if let Some(at) = self.at(offset, 2, 2) {
            // SAFETY: inside the piece and aligned, checked by `at`.
            unsafe { at.cast::<u16>().write_volatile(value.to_le()) };
        }
    }

    fn store32(&self, offset: usize, value: u32) {
        if let Some(at) = self.at(offset, 4, 4) {
            // SAFETY: inside the piece and aligned, checked by `at`.
            unsafe { at.cast::<u32>().write_volatile(value.to_le()) };
        }
    }

    fn store64(&self, offset: usize, value: u64) {
        if let Some(at) = self.at(offset, 8, 8) {
            // SAFETY: inside the piece and aligned, checked by `at`.
            unsafe { at.cast::<u64>().write_volatile(value.to_le()) };
        }
    }
}
