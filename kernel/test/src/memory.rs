//! `memory`: takes all memory, marks it, finds the marks again, gives the memory back.

use crate::TestError;
use alloc::vec::Vec;
use postern_core::disk::pattern::splitmix64;
use postern_core::facts;
use postern_kernel::report::Report;

/// The largest and the smallest block that [`fill`] asks for.
const BLOCKS: core::ops::RangeInclusive<usize> = 1 << 20..=1 << 30;

/// Takes blocks until there is no memory left, marks both ends of each, finds every mark again, and gives all
/// back.
///
/// # Errors
/// There is not a single block; or a mark has changed, because two blocks overlap or an address leads elsewhere.
pub fn fill(report: &mut Report) -> Result<(), TestError> {
    const WORD: usize = size_of::<u64>();
    let mut blocks: Vec<Vec<u64>> = Vec::with_capacity(1024);
    let mut size = *BLOCKS.end();
    while size >= *BLOCKS.start() && blocks.len() < blocks.capacity() {
        let mut block = Vec::new();
        if block.try_reserve_exact(size / WORD).is_ok() {
            blocks.push(block);
        } else {
            size /= 2;
        }
    }
    if blocks.is_empty() {
        return Err(TestError::NoBlock(*BLOCKS.start()));
    }
    // The first and the last word of a block; every block has more than two.
    let ends = |block: &mut Vec<u64>| match block.spare_capacity_mut() {
        [first, .., last] => Some([first.as_mut_ptr(), last.as_mut_ptr()]),
        _ => None,
    };
    for (number, block) in blocks.iter_mut().enumerate() {
        for (end, at) in ends(block).into_iter().flatten().enumerate() {
            // SAFETY: `at` was made from a reference to a word of the block's spare capacity, which `blocks` owns and
            // nothing else refers to; so it is aligned and writable.
            unsafe { at.write_volatile(mark(number, end)) };
        }
    }
    let (mut bytes, mut top) = (0usize, 0);
    for (number, block) in blocks.iter_mut().enumerate() {
        for (end, at) in ends(block).into_iter().flatten().enumerate() {
            // SAFETY: a word of the block's spare capacity, as above; the loop above wrote it, and a block that does
            // not grow keeps its place.
            if unsafe { at.read_volatile() } != mark(number, end) {
                return Err(TestError::Memory(at as u64));
            }
            top = top.max((at as u64).saturating_add(WORD as u64));
        }
        bytes = bytes.saturating_add(block.capacity().saturating_mul(WORD));
    }
    report.fact(facts::end::MEMORY_FILLED_BYTES, bytes);
    report.fact(facts::end::MEMORY_FILLED_TOP, format_args!("{top:#x}"));
    Ok(())
}

/// A different word for each end of each block.
fn mark(block: usize, end: usize) -> u64 {
    splitmix64(block.wrapping_mul(2).wrapping_add(end) as u64)
}
