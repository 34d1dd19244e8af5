//! One disk, several CPUs: each works on its own part, through a queue that other CPUs may use, too.

use crate::disk::jobs::{JobError, Sha256Digest};
use crate::disk::pattern::Pattern;
use core::ops::Range;
use core::time::Duration;
use papr::clock::Clock;
use papr::lock::{Guard, Lock};
use papr::platform::Platform;
use papr::registers::Mmio;
use sha2::{Digest, Sha256};
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::geometry::{Geometry, SECTOR};
use virtio_pci::blk::stream::{Plan, TransferError};

/// Bytes that a CPU moves before it lets another one use the queue.
const STRETCH: u64 = 1 << 20;
/// Longest wait for a queue that another CPU uses: longer than that CPU's own timeout for the device.
const TURN: Duration = Duration::from_secs(60);

/// The part of the disk for CPU `index` of `count`, in bytes: whole logical blocks. The parts are disjoint and cover
/// the whole disk.
#[must_use]
pub fn part(geometry: &Geometry, index: usize, count: usize) -> Range<u64> {
    let (bytes, block) = (geometry.usable_bytes(), u64::from(geometry.block));
    let blocks = bytes.checked_div(block).unwrap_or(0);
    let bound = |index: usize| {
        let share = u128::from(blocks).saturating_mul(index as u128).checked_div(count as u128);
        let share = share.and_then(|share| u64::try_from(share).ok()).unwrap_or(blocks);
        share.min(blocks).saturating_mul(block)
    };
    bound(index)..bound(index.saturating_add(1))
}

/// Reads `range`, in bytes of the disk, and computes its SHA-256.
///
/// # Errors
/// The read that failed.
pub fn digest<M: Mmio, P: Platform>(
    queue: &Lock<Blk<M, P>>,
    clock: &impl Clock,
    range: Range<u64>,
) -> Result<Sha256Digest, TransferError> {
    let mut hash = Sha256::new();
    for stretch in stretches(range) {
        let mut disk = turn(queue, clock, &stretch)?;
        disk.read_range(stretch, Plan::default(), |_, chunk| hash.update(chunk))?;
    }
    Ok(Sha256Digest(hash.finalize().into()))
}

/// Writes the part of `pattern` that belongs to `range`, and makes it durable.
///
/// # Errors
/// What failed, and where.
pub fn write<M: Mmio, P: Platform>(
    queue: &Lock<Blk<M, P>>,
    clock: &impl Clock,
    range: Range<u64>,
    pattern: Pattern,
) -> Result<(), JobError> {
    for stretch in stretches(range.clone()) {
        let mut disk = turn(queue, clock, &stretch)?;
        disk.write_range(stretch, Plan::default(), |offset, chunk| pattern.fill(offset, chunk))?;
    }
    turn(queue, clock, &range)?.flush().map_err(JobError::Flush)
}

/// Reads `range` and compares it with its part of `pattern`.
///
/// # Errors
/// What failed, and where.
pub fn verify<M: Mmio, P: Platform>(
    queue: &Lock<Blk<M, P>>,
    clock: &impl Clock,
    range: Range<u64>,
    pattern: Pattern,
) -> Result<(), JobError> {
    let mut different = None;
    for stretch in stretches(range) {
        let mut disk = turn(queue, clock, &stretch)?;
        disk.read_range(stretch, Plan::default(), |offset, chunk| {
            if different.is_none() {
                different = pattern.first_difference(offset, chunk);
            }
        })?;
    }
    match different {
        None => Ok(()),
        Some(offset) => Err(JobError::Mismatch { sector: offset / SECTOR, offset }),
    }
}

fn stretches(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    core::iter::from_fn(move || {
        let stretch = at..at.saturating_add(STRETCH).min(range.end);
        at = stretch.end;
        (!stretch.is_empty()).then_some(stretch)
    })
}

/// Takes the queue's lock; it is free at once if no other CPU uses the queue.
fn turn<'a, M: Mmio, P: Platform>(
    queue: &'a Lock<Blk<M, P>>,
    clock: &impl Clock,
    stretch: &Range<u64>,
) -> Result<Guard<'a, Blk<M, P>>, TransferError> {
    let failed = |stuck| TransferError { sector: stretch.start / SECTOR, error: BlkError::Stuck(stuck) };
    queue.take_within(clock, TURN).map_err(failed)
}
