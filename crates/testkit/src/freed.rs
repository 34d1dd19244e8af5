//! Whether a block of the heap was freed, by the tests' allocator.

#![allow(unsafe_code, reason = "an allocator that passes everything on to the system's")]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::{GlobalAlloc, Layout, System};

/// Most blocks that all tests together watch at once.
const MOST: usize = 64;
/// States of an entry besides a block's address: unused, and freed.
const NOTHING: usize = 0;
const FREED: usize = 1;

static PLACES: [AtomicUsize; MOST] = [const { AtomicUsize::new(NOTHING) }; MOST];
static WATCHED: AtomicUsize = AtomicUsize::new(0);

struct Noting;

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn note(block: *mut u8) {
    if WATCHED.load(Ordering::Acquire) == 0 {
        return;
    }
    for place in &PLACES {
        let _ = place.compare_exchange(block.addr(), FREED, Ordering::AcqRel, Ordering::Relaxed);
    }
}

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(block);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        note(block);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, len) }
    }
}

/// A watched block of the heap.
pub struct Watch(&'static AtomicUsize);

impl Watch {
    /// Watches a block that is in use.
    pub fn of(block: *const u8) -> Self {
        WATCHED.fetch_add(1, Ordering::AcqRel);
        let free = |place: &&AtomicUsize| {
            place.compare_exchange(NOTHING, block.addr(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Self(PLACES.iter().find(free).expect("a place for one more block"))
    }

    /// Whether the block was freed since.
    pub fn freed(&self) -> bool {
        self.0.load(Ordering::Acquire) == FREED
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(NOTHING, Ordering::Release);
        WATCHED.fetch_sub(1, Ordering::AcqRel);
    }
}
