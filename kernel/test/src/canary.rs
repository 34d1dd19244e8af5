//! Plants secrets: `canary=SEED` writes the words splitmix64(SEED + i) into private memory of every kind, and the harness
//! searches shared memory for them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use postern_core::disk::pattern::Pattern;
use postern_core::facts;
use postern_kernel::report::Report;

const BYTES: usize = 4096;
/// Heap blocks that are filled and freed again, so that what is allocated later begins with canaries.
const FREED: usize = 64;

static IMAGE: [AtomicU64; BYTES / 8] = [const { AtomicU64::new(0) }; BYTES / 8];

/// Canaries on a stack; the holder keeps them alive.
pub type OnStack = [u8; 512];

/// Plants canaries in the heap, in freed blocks of the heap and in the image, and states their addresses. Returns canaries
/// for the stack.
pub fn plant(seed: u64, report: &mut Report) -> OnStack {
    let pattern = Pattern { seed };
    let filled = || {
        let mut bytes = alloc::vec![0; BYTES];
        pattern.fill(0, &mut bytes);
        bytes
    };
    let sprayed: Vec<Vec<u8>> = (0..FREED).map(|_| black_box(filled())).collect();
    let heap = Box::leak(filled().into_boxed_slice());
    report.fact(facts::end::CANARY_HEAP, format_args!("{:p}", heap.as_ptr()));
    drop(black_box(sprayed));
    let (words, _) = heap.as_chunks();
    for (into, word) in IMAGE.iter().zip(words) {
        into.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
    }
    report.fact(facts::end::CANARY_IMAGE, format_args!("{:p}", black_box(IMAGE.as_ptr())));
    let mut stack = [0; 512];
    pattern.fill(0, &mut stack);
    stack
}
