//! The private heap: a small early heap inside the image, for code that runs before memory is known, and the main heap,
//! which starts with frames of the memory map and grows from those that are left. In a secure VM neither devices nor the
//! host see it.

use crate::memory::accept;
use crate::memory::layout;
use crate::platform::lock;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use linked_list_allocator::Heap;
use papr::lock::{Guard, Lock};
use papr::parts::index;
use svm_dma::memory_map::{Frames, OwnedFrames};

/// Bytes by which the heap grows at a time, if so many are left.
const STEP: usize = 16 << 20;
/// Bytes that a piece needs beside the block that it was taken for: book-keeping at both ends.
const OVERHEAD: usize = 64;
/// Most pieces: each stretch of memory between reservations is one. Further stretches stay unused.
const PIECES: usize = 16;

/// Pieces of memory, each with its own free list.
struct Main {
    pieces: [Heap; PIECES],
    used: usize,
    frames: Option<Frames>,
}

impl Main {
    const fn new() -> Self {
        Self { pieces: [const { Heap::empty() }; PIECES], used: 0, frames: None }
    }

    /// Adds frames: to the piece that ends where they start, else as a new piece.
    fn add(&mut self, frames: OwnedFrames) {
        const { assert!(usize::BITS == u64::BITS, "an address is a pointer") };
        let range = frames.range();
        let start = core::ptr::with_exposed_provenance_mut(index(range.start.0));
        let len = index(range.len);
        if let Some(piece) = self.pieces.iter_mut().take(self.used).find(|piece| piece.top() == start) {
            // SAFETY: the frames had one owner, who gave them to the heap for good, and begin where the piece ends.
            unsafe { piece.extend(len) };
        } else if let Some(piece) = self.pieces.get_mut(self.used) {
            // SAFETY: the frames had one owner, who gave them to the heap for good; this piece was empty.
            unsafe { piece.init(start, len) };
            self.used = self.used.saturating_add(1);
        }
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        loop {
            for piece in self.pieces.iter_mut().take(self.used) {
                if let Ok(block) = piece.allocate_first_fit(layout) {
                    return Some(block);
                }
            }
            let least = layout.size().checked_add(layout.align())?.checked_add(OVERHEAD)?;
            if self.used == PIECES {
                return None;
            }
            let frames = self.take(least)?;
            self.add(frames);
        }
    }

    /// Frames to grow into, which were proved to be this VM's.
    fn take(&mut self, least: usize) -> Option<OwnedFrames> {
        while !accept::given_up() {
            let frames = self.frames.as_mut()?.take(least as u64, STEP as u64)?;
            if let Ok(frames) = accept::prove(frames) {
                return Some(frames);
            }
        }
        None
    }
}

struct KernelHeap {
    early: Lock<Heap>,
    main: Lock<Main>,
    exhausted: AtomicBool,
}

#[global_allocator]
static HEAP: KernelHeap = KernelHeap {
    early: Lock::new("first heap", Heap::empty()),
    main: Lock::new("heap", Main::new()),
    exhausted: AtomicBool::new(false),
};

/// The early heap. If a stopped CPU holds its lock, or that of the main heap, the run ends, because nothing works without
/// the heap. Neither the wait nor the end of the run allocates.
fn early() -> Guard<'static, Heap> {
    lock::or_end(&HEAP.early)
}

fn main() -> Guard<'static, Main> {
    lock::or_end(&HEAP.main)
}

/// Opens the early piece, before the first allocation. A second call has no effect.
pub fn init_early() {
    static OPENED: AtomicBool = AtomicBool::new(false);
    if !OPENED.swap(true, Ordering::Relaxed) {
        let (start, len) = layout::early_heap();
        // SAFETY: the linker script gives these frames of the image to nothing but this heap, for ever, and only one call
        // comes here. A heap expects nothing of what they hold.
        unsafe { early().init(start, len) };
    }
}

/// Gives the heap its main piece of memory.
pub fn init_main(frames: OwnedFrames) {
    main().add(frames);
}

/// Lets the main heap grow from the rest of the memory map.
pub fn grow_from(frames: Frames) {
    main().frames = Some(frames);
}

/// Bytes that the heap has not grown into yet.
pub fn unused() -> u64 {
    main().frames.as_ref().map_or(0, Frames::bytes)
}

/// Whether an allocation has failed: the panic that follows is then an out-of-memory exit.
pub fn exhausted() -> bool {
    HEAP.exhausted.load(Ordering::Relaxed)
}

/// Bytes in use and bytes free, all pieces together.
pub fn usage() -> (usize, usize) {
    let (early, main) = (early(), main());
    let pieces = main.pieces.iter().take(main.used).chain([&*early]);
    pieces.fold((0usize, 0usize), |(used, free), piece| {
        (used.saturating_add(piece.used()), free.saturating_add(piece.free()))
    })
}

// SAFETY: all pieces are `linked_list_allocator` heaps behind locks, which give out disjoint, aligned
// memory of the size asked for; a block goes back to the piece whose range it lies in.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(block) = main().allocate(layout) {
            return block.as_ptr();
        }
        if let Ok(block) = early().allocate_first_fit(layout) {
            return block.as_ptr();
        }
        self.exhausted.store(true, Ordering::Relaxed);
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(at) = NonNull::new(block) else { return };
        let mut early = early();
        let in_early = (early.bottom()..early.top()).contains(&block);
        // SAFETY: the caller gives back a block of this allocator with its layout, and a block lies in the
        // piece that gave it out.
        unsafe {
            if in_early {
                early.deallocate(at, layout);
            } else {
                drop(early);
                let mut main = main();
                let used = main.used;
                let mut pieces = main.pieces.iter_mut().take(used);
                if let Some(piece) = pieces.find(|piece| (piece.bottom()..piece.top()).contains(&block)) {
                    piece.deallocate(at, layout);
                }
            }
        }
    }
}
