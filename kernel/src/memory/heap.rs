//! The private heap: a small piece inside the image for what runs before memory is known, and the main
//! piece that the placement chose. Devices and the host never see either.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use linked_list_allocator::Heap;
use postern_core::addr::GpaRange;
use spin::Mutex;

/// Bytes of the early piece.
pub const EARLY_SIZE: usize = 512 * 1024;

#[repr(C, align(4096))]
struct EarlyHeap([u8; EARLY_SIZE]);

static mut EARLY: EarlyHeap = EarlyHeap([0; EARLY_SIZE]);

struct KernelHeap {
    early: Mutex<Heap>,
    main: Mutex<Heap>,
    exhausted: AtomicBool,
}

#[global_allocator]
static HEAP: KernelHeap = KernelHeap {
    early: Mutex::new(Heap::empty()),
    main: Mutex::new(Heap::empty()),
    exhausted: AtomicBool::new(false),
};

/// Opens the early piece. Called once, before the first allocation.
pub fn init_early() {
    // SAFETY: EARLY is used by nothing but this heap, lives for ever, and this is called once, at boot.
    unsafe { HEAP.early.lock().init((&raw mut EARLY).cast(), EARLY_SIZE) };
}

/// Opens the main piece.
///
/// # Safety
/// `range` is RAM that nothing else uses, now or later, and this is called once.
pub unsafe fn init_main(range: GpaRange) {
    // SAFETY: the caller promises that the range is RAM of its own for the kernel's life.
    unsafe { HEAP.main.lock().init(range.start.0 as *mut u8, range.len as usize) };
}

/// Whether an allocation has failed: the panic that follows is then an out-of-memory exit.
pub fn exhausted() -> bool {
    HEAP.exhausted.load(Ordering::Relaxed)
}

/// Bytes in use and bytes free, both pieces together.
pub fn usage() -> (usize, usize) {
    let (early, main) = (HEAP.early.lock(), HEAP.main.lock());
    (early.used() + main.used(), early.free() + main.free())
}

// SAFETY: both pieces are `linked_list_allocator` heaps behind locks, which give out disjoint, aligned
// memory of the size asked for; a block goes back to the piece whose range it lies in.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        for piece in [&self.main, &self.early] {
            if let Ok(block) = piece.lock().allocate_first_fit(layout) {
                return block.as_ptr();
            }
        }
        self.exhausted.store(true, Ordering::Relaxed);
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(at) = NonNull::new(block) else { return };
        let mut early = self.early.lock();
        let in_early = (early.bottom()..early.top()).contains(&block);
        // SAFETY: the caller gives back a block of this allocator with its layout, and a block lies in the
        // piece that gave it out.
        unsafe {
            if in_early {
                early.deallocate(at, layout);
            } else {
                drop(early);
                self.main.lock().deallocate(at, layout);
            }
        }
    }
}
