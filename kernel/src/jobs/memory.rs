//! Jobs on the memory map: state it, and break its rules one by one. A host outside looks at what happens.

use crate::memory::{layout, mmu};
use crate::report::Report;
use crate::stop::Stop;
use core::arch::asm;
use core::hint::black_box;
use postern_core::addr::GpaRange;
use postern_core::cmdline::Breach;

/// `blr`: code that would return at once, if it could be executed.
const RETURN: u32 = 0x4e80_0020;

static mut DATA: u32 = RETURN;

/// States each run of equal mappings: `map.N=start end rights`.
pub fn map(report: &mut Report) {
    let mut number = 0;
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
        number += 1;
    });
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
    };
    report.fact_now("breach.address", format_args!("{at:#x}"));
    match breach {
        // SAFETY: the store is to be refused by the MMU; were it not, the word written is the one read.
        Breach::TextWrite => unsafe {
            asm!("lwz {0}, 0({1})", "stw {0}, 0({1})", out(reg) _, in(reg_nonzero) at)
        },
        // SAFETY: the load is to be refused by the MMU; were it not, the value is thrown away.
        Breach::NullRead => unsafe { asm!("ld {0}, 0({1})", out(reg) _, in(reg_nonzero) at) },
        Breach::StackOverflow => {
            black_box(dig(black_box(0)));
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
    dig(black_box(depth + 1)) + frame[0]
}
