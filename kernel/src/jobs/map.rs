//! `map`: states the memory map, so that the host can check it.

use crate::memory::mmu;
use crate::report::Report;
use crate::stop::Stop;
use postern_core::facts;

/// States each run of equal mappings: `map.N=start end rights`.
pub fn state(report: &mut Report) -> Result<(), Stop> {
    let mut number = 0usize;
    mmu::walk(|run| {
        let right = |allowed: bool, letter: char| if allowed { letter } else { '-' };
        report.fact(
            facts::end::MAP.at(number),
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
