//! Counters in words, for the summary and for whoever asks in the middle of a run.

use super::boot::size;
use crate::devices::set::Devices;
use crate::platform::pseries::{self, Pseries};
use alloc::format;
use alloc::string::String;
use svm_dma::pool::PoolStatistics;
use svm_dma::tce::TceError;
use virtio_pci::interrupts::Statistics;

/// What went through the pool.
pub fn copied(devices: &Devices) -> String {
    let counts = devices.dma.counts();
    format!("{} bytes to the pool, {} bytes from it", counts.to_pool, counts.from_pool)
}

/// What the pool is used for.
pub fn pool(pool: &PoolStatistics) -> String {
    format!(
        "{} of {} frames held, {} in use, at most {}; {} refusals, {} quarantined",
        pool.frames.saturating_sub(pool.frames_free),
        pool.frames,
        size(pool.bytes_in_use),
        size(pool.high_water_bytes),
        pool.failures,
        size(pool.bytes_quarantined),
    )
}

/// Which interrupts came.
pub fn interrupts(seen: &Statistics) -> String {
    format!(
        "{} taken, {} of unknown and {} of masked sources, {} storms",
        seen.taken, seen.unknown, seen.masked, seen.storms
    )
}

/// What was asked of ultravisor and hypervisor.
pub fn calls() -> String {
    format!("{} ultracalls, {} hcalls", pseries::ultracalls(), pseries::hcalls())
}

/// Pages besides the pool that devices can reach: the DMA windows are read back.
///
/// # Errors
/// A window cannot be read.
pub fn exposed(devices: &Devices) -> Result<Option<u64>, TceError> {
    let Some(pool) = devices.pool else { return Ok(None) };
    let add = |sum: u64, pages| sum.saturating_add(pages);
    devices
        .reach
        .iter()
        .try_fold(0, |sum, reach| reach.exposed(&Pseries, pool).map(|pages| add(sum, pages)))
        .map(Some)
}
