//! `bench-copy`: how fast this guest copies private memory to private memory. No bounced read can be faster.

use crate::TestError;
use alloc::vec::Vec;
use core::hint::black_box;
use papr::clock::{Clock, duration, ticks};
use postern_core::facts;
use postern_kernel::platform::pseries::Pseries;
use postern_kernel::report::Report;
use workloads::work::Work;

/// For each piece of work, copies as many buffers of its size as it has requests in flight, in turn, for its time.
///
/// # Errors
/// There is no memory for the buffers.
pub fn measure(works: &[Work], report: &mut Report) -> Result<(), TestError> {
    for (number, work) in works.iter().enumerate() {
        let (copied, took) = copy(work)?;
        let nanoseconds = duration(&Pseries, took).as_nanos().max(1);
        let kb_s = u128::from(copied).saturating_mul(1_000_000).checked_div(nanoseconds).unwrap_or(0);
        report.step("copy", format_args!("{} bytes at a time: {kb_s} thousand bytes a second", work.bytes));
        report.fact(facts::bench::COPY_KB_S.at(number), kb_s);
    }
    Ok(())
}

/// The bytes that were copied, and the ticks that they took.
fn copy(work: &Work) -> Result<(u64, u64), TestError> {
    // Both sides are written before, so that no page fault of the host falls into the measured time.
    let (from, mut to) = (buffers(work, 1)?, buffers(work, 2)?);
    let start = Pseries.now();
    let end = start.saturating_add(ticks(&Pseries, work.time));
    let mut copied = 0u64;
    while Pseries.now() < end {
        for (from, to) in from.iter().zip(&mut to) {
            to.copy_from_slice(black_box(from));
            black_box(to);
            copied = copied.saturating_add(work.bytes.into());
        }
    }
    Ok((copied, Pseries.now().wrapping_sub(start)))
}

/// One buffer for each request in flight.
fn buffers(work: &Work, byte: u8) -> Result<Vec<Vec<u8>>, TestError> {
    let len = work.bytes as usize;
    let one = |_| {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(len).map_err(|_| TestError::NoBlock(len))?;
        buffer.resize(len, byte);
        Ok(buffer)
    };
    (0..work.depth).map(one).collect()
}
