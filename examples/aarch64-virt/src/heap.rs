//! The heap: a fixed range of RAM. This guest has one CPU and no interrupts.

use crate::machine::HEAP;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use linked_list_allocator::Heap;

struct OneCpu(UnsafeCell<Heap>);

// SAFETY: one CPU runs this guest, no interrupt is ever enabled, and an exception ends the run without a return.
unsafe impl Sync for OneCpu {}

#[global_allocator]
static ALLOCATOR: OneCpu = OneCpu(UnsafeCell::new(Heap::empty()));

/// Call this once, before the first allocation.
pub fn init() {
    // SAFETY: the range is RAM that the linker script and the pool leave alone; see `OneCpu` for the reference.
    unsafe { (*ALLOCATOR.0.get()).init(HEAP.start.0 as *mut u8, HEAP.len as usize) };
}

// SAFETY: the allocator's own promises; no call begins while another is under way, as `OneCpu` says.
unsafe impl GlobalAlloc for OneCpu {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: no other reference exists: see `OneCpu`.
        let heap = unsafe { &mut *self.0.get() };
        heap.allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` with this layout, as the caller promises; see `OneCpu` for the reference.
        unsafe { (*self.0.get()).deallocate(NonNull::new_unchecked(at), layout) };
    }
}
