//! Jobs on the memory map: state it, and break its rules one by one. A host outside looks at what happens.

use crate::arch::cpus;
use crate::devices::DeviceError;
use crate::memory::{layout, mmu};
use crate::report::Report;
use crate::stop::Stop;
use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::time::Duration;
use papr::addr::GpaRange;
use postern_core::cmdline::Breach;
use postern_core::disk::pattern::splitmix64;

/// `blr`: code that would return at once, if it could be executed.
const RETURN: u32 = 0x4e80_0020;

static mut DATA: u32 = RETURN;

/// How long another CPU may take to break a rule.
const OTHERS_PATIENCE: Duration = Duration::from_secs(10);

/// States each run of equal mappings: `map.N=start end rights`.
pub fn map(report: &mut Report) -> Result<(), Stop> {
    let mut number = 0u32;
    mmu::walk(|run| {
        let right = |allowed: bool, letter: char| if allowed { letter } else { '-' };
        report.fact(
            format_args!("map.{number}"),
            format_args!(
                "{:#x} {:#x} {}{}{}",
                run.range.start.0,
                run.range.end().0,
                right(run.read, 'r'),
                right(run.write, 'w'),
                right(run.execute, 'x')
            ),
        );
        number = number.saturating_add(1);
    });
    Ok(())
}

/// The largest and the smallest block that [`fill`] asks for.
const BLOCKS: core::ops::RangeInclusive<usize> = 1 << 20..=1 << 30;

/// Takes blocks until there is no memory left, marks both ends of each, finds every mark again, and gives all
/// back.
///
/// # Errors
/// There is not one block; or a mark is gone: two blocks overlap, or an address leads elsewhere.
pub fn fill(report: &mut Report) -> Result<(), Stop> {
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
        return Err(Stop::NoBlock(*BLOCKS.start()));
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
                return Err(Stop::Memory(at as u64));
            }
            top = top.max((at as u64).saturating_add(WORD as u64));
        }
        bytes = bytes.saturating_add(block.capacity().saturating_mul(WORD));
    }
    report.fact("memory.filled_bytes", bytes);
    report.fact("memory.filled_top", format_args!("{top:#x}"));
    Ok(())
}

/// Another word for each end of each block.
fn mark(block: usize, end: usize) -> u64 {
    splitmix64(block.wrapping_mul(2).wrapping_add(end) as u64)
}

/// Does what the map forbids, having stated the address. Returns only when nothing stopped it.
///
/// # Errors
/// Nothing stopped it.
pub fn breach(breach: Breach, pool: Option<GpaRange>, report: &mut Report) -> Result<(), Stop> {
    let mut local = RETURN;
    let at = match breach {
        Breach::TextWrite => map as *const () as u64,
        Breach::DataExecute => &raw const DATA as u64,
        // In normal mode there is no pool; what stands for it is heap.
        Breach::PoolExecute => pool.map_or_else(heap_word, |pool| pool.start.0),
        Breach::StackExecute => &raw mut local as u64,
        Breach::NullRead => 8,
        Breach::StackOverflow => layout::stack().start.0,
        Breach::OtherStackOverflow => {
            let other = cpus::workers().next().ok_or(DeviceError::Missing("second CPU"))?;
            other.stack().start.0
        }
    };
    report.fact_now("breach.address", format_args!("{at:#x}"));
    match breach {
        // SAFETY: `at` is an aligned word of the image's own text. The MMU refuses the store; were it not to, the word
        // written is the one read, and no text changes.
        Breach::TextWrite => unsafe {
            asm!("lwz {0}, 0({1})", "stw {0}, 0({1})", out(reg) _, in(reg_nonzero) at)
        },
        // SAFETY: a load changes nothing, and its value is thrown away. Address 8 is RAM that the MMU does not map.
        Breach::NullRead => unsafe { asm!("ld {0}, 0({1})", out(reg) _, in(reg_nonzero) at) },
        Breach::StackOverflow => {
            black_box(dig(black_box(0)));
        }
        Breach::OtherStackOverflow => {
            if let Some(other) = cpus::workers().next() {
                other.start(|| dig(black_box(0))).wait(OTHERS_PATIENCE);
            }
        }
        Breach::DataExecute | Breach::PoolExecute | Breach::StackExecute => {
            // SAFETY: the fetch is to be refused by the MMU; were it not, what is there is `blr`, or zeros,
            // which is an illegal instruction and ends the run in another way.
            unsafe {
                asm!("mtctr {}", "bctrl", in(reg) at, out("ctr") _, out("lr") _, options(nostack));
            }
        }
    }
    Err(Stop::NotStopped(breach))
}

fn heap_word() -> u64 {
    let word = alloc::boxed::Box::leak(alloc::boxed::Box::new(RETURN));
    &raw const *word as u64
}

/// Calls itself until the stack is used up.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the guard frame under the stack ends it")]
fn dig(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    dig(black_box(depth.wrapping_add(1))).wrapping_add(frame[0])
}
