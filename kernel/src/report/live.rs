//! Counters in words, for the summary and for the monitor.

use super::boot::size;
use crate::devices::set::Devices;
use crate::platform::pseries::{self, Pseries};
use alloc::format;
use alloc::string::String;
use svm_dma::pool::PoolStatistics;
use svm_dma::tce::TceError;
use virtio_pci::interrupts::Statistics;

/// The bytes that were copied to and from the pool.
pub fn copied(devices: &Devices) -> String {
    let counts = devices.dma.counts();
    format!("{} bytes to the pool, {} bytes from it", counts.to_pool, counts.from_pool)
}

/// How much of the pool is in use.
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

/// The counts of interrupts.
pub fn interrupts(seen: &Statistics) -> String {
    format!(
        "{} taken, {} of unknown and {} of masked sources, {} storms",
        seen.taken, seen.unknown, seen.masked, seen.storms
    )
}

/// The counts of ultracalls and hcalls.
pub fn calls() -> String {
    format!("{} ultracalls, {} hcalls", pseries::ultracalls(), pseries::hcalls())
}

/// Reads the DMA windows back, and counts the pages besides the pool that devices can reach; `None` without a pool.
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
