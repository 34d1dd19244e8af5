//! Memory that devices see: the shared pool in secure mode, blocks of the heap in normal mode. It is only copied from and
//! to, each byte once, by assembly or volatile accesses. No reference to it exists.

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::sync::Arc;
use core::alloc::Layout;
use core::fmt;
use papr::addr::{Gpa, GpaRange};
use papr::parts::{index, low_u32};
use papr::platform::DeviceMemory;
use svm_dma::memory_map::OwnedFrames;

const PAGE: usize = 4096;

/// A piece of memory that a device may change at any moment.
#[derive(Clone)]
pub struct DeviceBytes {
    base: *mut u8,
    len: usize,
    /// The heap block of private memory, which is freed with the last handle; none for the pool.
    _block: Option<Arc<HeapBlock>>,
}

/// A block of the heap that devices use.
struct HeapBlock {
    at: *mut u8,
    layout: Layout,
}

// SAFETY: the pointer names a block of the heap that this value alone gives back, at the same address on every CPU; it
// is not accessed through this value.
unsafe impl Send for HeapBlock {}
// SAFETY: a reference to this value can do nothing with the pointer: it is used by `drop` alone, which has the only one.
unsafe impl Sync for HeapBlock {}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        // SAFETY: `allocate` made this value of a block that it was given with this layout, and told nobody else; each
        // handle to it holds this value, so that none is left.
        unsafe { dealloc(self.at, self.layout) };
    }
}

// SAFETY: the pointer names memory that is mapped at the same address on every CPU and has no owner: every access is
// volatile, or by instructions of `postern_arch`, through a raw pointer, so another thread may make it as well.
unsafe impl Send for DeviceBytes {}
// SAFETY: no reference to the bytes is made, and no access relies on what they hold: a second CPU that writes at the
// same time changes values, as the device may at any moment, and nothing else.
unsafe impl Sync for DeviceBytes {}

impl DeviceBytes {
    /// The memory at `range`.
    ///
    /// # Safety
    /// `range` is RAM, and nothing else uses it from now on: no reference or allocation lies in it, ever.
    pub unsafe fn new(range: GpaRange) -> Self {
        const { assert!(usize::BITS == u64::BITS, "an address is a pointer") };
        let base = core::ptr::with_exposed_provenance_mut(index(range.start.0));
        Self { base, len: index(range.len), _block: None }
    }

    /// The memory of these frames, which have no other owner any more.
    pub fn of_frames(frames: OwnedFrames) -> Self {
        // SAFETY: the frames are RAM with one owner, which ends here: nothing uses them now, or ever will.
        unsafe { Self::new(frames.range()) }
    }

    /// `len` zeroed bytes of the heap, page-aligned; `None` if there are not as many, or `len` is 0.
    pub fn allocate(len: usize) -> Option<Self> {
        if len == 0 {
            return None;
        }
        let layout = Layout::from_size_align(len.checked_next_multiple_of(PAGE)?, PAGE).ok()?;
        // SAFETY: the layout has a size of at least one page.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            return None;
        }
        base.expose_provenance();
        Some(Self { base, len, _block: Some(Arc::new(HeapBlock { at: base, layout })) })
    }

    /// Address of the first byte.
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

// SAFETY: a piece is RAM that `new` was promised for good, or a block of the heap that is given back with the last
// handle, whichever clone or part that is: in neither lies a reference or anything else, and no reference is made here.
// `gpa` and `len` are those of the pointer that all accesses go through, as RAM is mapped at its own address, and `at`
// lets none begin or end outside.
unsafe impl DeviceMemory for DeviceBytes {
    fn len(&self) -> usize {
        self.len
    }

    fn gpa(&self) -> Gpa {
        Gpa(self.base.addr() as u64)
    }

    fn part(&self, offset: usize, len: usize) -> Option<Self> {
        Some(Self { base: self.at(offset, len, 1)?, len, _block: self._block.clone() })
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        let Some(from) = self.at(offset, out.len(), 1) else {
            out.fill(0);
            return;
        };
        // SAFETY: `at` checked that `out.len()` bytes from `from` lie inside this piece, which is RAM, and no
        // reference lies in it: `out` is elsewhere.
        unsafe { postern_arch::copy_shared(out.as_mut_ptr(), from, out.len()) };
    }

    fn write(&self, offset: usize, data: &[u8]) {
        let Some(to) = self.at(offset, data.len(), 1) else { return };
        // SAFETY: `at` checked that `data.len()` bytes from `to` lie inside this piece, which is RAM, and no reference
        // lies in it (the promise of `new`): `data` is elsewhere, and nothing that Rust code relies on changes.
        unsafe { postern_arch::copy_shared(to, data.as_ptr(), data.len()) };
    }

    fn zero(&self, offset: usize, len: usize) {
        let Some(to) = self.at(offset, len, 1) else { return };
        // SAFETY: `at` checked that `len` bytes from `to` lie inside this piece, which is RAM, and no reference lies in
        // it. The kernel maps all RAM cached, so that clearing whole cache blocks (`dcbz`) raises no exception.
        unsafe { postern_arch::zero(to, len) };
    }

    fn take(&self, offset: usize, out: &mut [u8]) {
        let Some(from) = self.at(offset, out.len(), 1) else {
            out.fill(0);
            return;
        };
        // SAFETY: `at` checked that `out.len()` bytes from `from` lie inside this piece, which is RAM and mapped cached,
        // and no reference lies in it: `out` is elsewhere, and nothing that Rust code relies on is cleared.
        unsafe { postern_arch::take(out.as_mut_ptr(), from, out.len()) };
    }

    fn load16(&self, offset: usize) -> u16 {
        // SAFETY: `at` checked that the access is aligned and inside the piece, which is RAM without references.
        self.at(offset, 2, 2).map_or(0, |at| u16::from_le(unsafe { at.cast::<u16>().read_volatile() }))
    }

    fn load32(&self, offset: usize) -> u32 {
        // SAFETY: `at` checked that the access is aligned and inside the piece, which is RAM without references.
        self.at(offset, 4, 4).map_or(0, |at| u32::from_le(unsafe { at.cast::<u32>().read_volatile() }))
    }

    fn load_pair(&self, offset: usize) -> [u32; 2] {
        let both = self.at(offset, 8, 8).map_or(0, |at| {
            // SAFETY: `at` checked that the access is aligned and inside the piece, which is RAM without references.
            u64::from_le(unsafe { at.cast::<u64>().read_volatile() })
        });
        [low_u32(both), low_u32(both >> 32)]
    }

    fn store16(&self, offset: usize, value: u16) {
        if let Some(at) = self.at(offset, 2, 2) {
            // SAFETY: `at` checked that the access is aligned and inside the piece, which is RAM without references.
            unsafe { at.cast::<u16>().write_volatile(value.to_le()) };
        }
    }

    fn store32(&self, offset: usize, value: u32) {
        if let Some(at) = self.at(offset, 4, 4) {
            // SAFETY: `at` checked that the access is aligned and inside the piece, which is RAM without references.
            unsafe { at.cast::<u32>().write_volatile(value.to_le()) };
        }
    }

    fn store_pair(&self, offset: usize, [low, high]: [u64; 2]) {
        if let Some(at) = self.at(offset, 16, 8) {
            // SAFETY: `at` checked that both doublewords are aligned and inside the piece, RAM without references.
            unsafe {
                at.cast::<u64>().write_volatile(low.to_le());
                at.cast::<u64>().add(1).write_volatile(high.to_le());
            }
        }
    }

    fn store64(&self, offset: usize, value: u64) {
        if let Some(at) = self.at(offset, 8, 8) {
            // SAFETY: `at` checked that the access is aligned and inside the piece, which is RAM without references.
            unsafe { at.cast::<u64>().write_volatile(value.to_le()) };
        }
    }
}
