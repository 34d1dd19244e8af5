//! Random work on a disk: reads, writes, flushes and name requests in any order, many at once, and sometimes more than
//! there is room for. A checksum of every block is kept, so that any wrong answer is found.

use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;
use postern_core::disk::pattern::{Pattern, splitmix64};
use thiserror::Error;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason, Rejected};
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::blk::request::{Completion, Token};

/// Bytes per checksum.
const BLOCK: usize = 4096;
/// Most blocks of an ordinary request.
const USUAL: u64 = 16;
/// Blocks of a request that fills the pool.
const LARGE: usize = 64;
/// Requests in flight at which the next step waits for a completion first.
const MANY: usize = 48;

/// Counters of the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that succeeded.
    pub requests: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Requests for which there was no room.
    pub refused: u64,
    /// Requests that a reset ended.
    pub lost: u64,
}

/// Why the work failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SoakError {
    /// A request failed.
    #[error("{0}")]
    Request(BlkError),
    /// The block at this byte offset of the disk differs from what was last read or written there.
    #[error("byte {0} of the disk is not what was last seen there")]
    Mismatch(u64),
}

/// A request in flight.
struct Job {
    token: Token,
    first: u64,
    count: u64,
    writes: bool,
    /// For a write: the checksums of the new content.
    sums: Vec<u64>,
}

/// The work on one disk.
pub struct Soak {
    /// Checksum of each block; `None` if its content is not known.
    sums: Vec<Option<u64>>,
    jobs: Vec<Job>,
    random: u64,
    writes: bool,
    counters: Counters,
}

impl Soak {
    /// Work determined by `seed`, on the first `bytes` bytes of a disk; with writes if `writes`.
    #[must_use]
    pub fn new(seed: u64, bytes: u64, writes: bool) -> Self {
        let blocks = usize::try_from(bytes).unwrap_or(usize::MAX) / BLOCK;
        let (sums, counters) = (alloc::vec![None; blocks], Counters::default());
        Self { sums, jobs: Vec::new(), random: seed, writes, counters }
    }

    /// The counters so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = splitmix64(self.random);
        (self.random >> 16).checked_rem(below).unwrap_or(0)
    }

    /// Submits a request and takes completed ones.
    ///
    /// # Errors
    /// A request failed without a reset, or a block has wrong content; returned after all other requests are over.
    pub fn step<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Result<(), SoakError> {
        self.step_once(disk).inspect_err(|_| disk.drain())
    }

    fn step_once<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Result<(), SoakError> {
        match self.random(32) {
            0 if disk.geometry().flush => {
                let submitted = disk.submit_flush();
                self.submitted(submitted, 0, 0, Vec::new())?;
            }
            1 => {
                let submitted = disk.submit_get_id();
                self.submitted(submitted, 0, 0, Vec::new())?;
            }
            2 => while self.transfer(disk, LARGE as u64)? {},
            3 => disk.check_device(),
            _ => {
                let most = self.random(USUAL).saturating_add(1);
                self.transfer(disk, most)?;
            }
        }
        disk.kick();
        if disk.in_flight() > MANY {
            self.wait(disk)?;
        }
        self.take_all(disk)
    }

    /// Takes completed requests; all requests if the disk was stopped.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn take<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Result<(), SoakError> {
        self.take_all(disk).inspect_err(|_| disk.drain())
    }

    fn take_all<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Result<(), SoakError> {
        while let Some(completion) = disk.poll() {
            self.complete(disk, completion)?;
        }
        Ok(())
    }

    /// Waits for everything in flight, reads the whole disk and compares.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn finish<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Result<(), SoakError> {
        while self.wait(disk).inspect_err(|_| disk.drain())? {}
        for first in (0..self.sums.len() as u64).step_by(LARGE) {
            let count = (LARGE as u64).min((self.sums.len() as u64).saturating_sub(first));
            let bytes = usize::try_from(count).unwrap_or(0).saturating_mul(BLOCK);
            let read = disk.read(sector(first), bytes).map_err(SoakError::Request)?;
            self.compare(first, &read)?;
        }
        Ok(())
    }

    fn wait<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Result<bool, SoakError> {
        let Some(completion) = disk.wait() else { return Ok(false) };
        self.complete(disk, completion)?;
        Ok(true)
    }

    /// Reads or writes `count` random blocks. False if there is no room, or if a request for these blocks is in flight.
    fn transfer<M: Mmio, P: Platform>(
        &mut self,
        disk: &mut Blk<M, P>,
        count: u64,
    ) -> Result<bool, SoakError> {
        let blocks = self.sums.len() as u64;
        let count = count.min(blocks);
        let first = self.random(blocks.saturating_sub(count).saturating_add(1));
        let writes = self.writes && self.random(2) == 0;
        let end = first.saturating_add(count);
        let busy = |job: &Job| {
            (writes || job.writes) && job.first < end && first < job.first.saturating_add(job.count)
        };
        if count == 0 || self.jobs.iter().any(busy) {
            return Ok(false);
        }
        let mut buffer = alloc::vec![0; usize::try_from(count).unwrap_or(0).saturating_mul(BLOCK)];
        if !writes {
            let submitted = disk.submit_read(sector(first), buffer);
            return self.submitted(submitted, first, count, Vec::new());
        }
        Pattern { seed: self.random(u64::MAX) }.fill(0, &mut buffer);
        let sums = buffer.chunks(BLOCK).map(sum).collect();
        let submitted = disk.submit_write(sector(first), buffer);
        self.submitted(submitted, first, count, sums)
    }

    fn submitted(
        &mut self,
        submitted: Result<Token, Rejected>,
        first: u64,
        count: u64,
        sums: Vec<u64>,
    ) -> Result<bool, SoakError> {
        match submitted {
            Ok(token) => {
                self.jobs.push(Job { token, first, count, writes: !sums.is_empty(), sums });
                Ok(true)
            }
            Err(Rejected { error, .. }) if error.is_temporary() => {
                self.counters.refused = self.counters.refused.saturating_add(1);
                Ok(false)
            }
            Err(Rejected { error, .. }) => Err(SoakError::Request(error)),
        }
    }

    fn complete<M: Mmio, P: Platform>(
        &mut self,
        disk: &Blk<M, P>,
        completion: Completion,
    ) -> Result<(), SoakError> {
        let Some(at) = self.jobs.iter().position(|job| job.token == completion.token) else { return Ok(()) };
        let Job { first, writes, sums, .. } = self.jobs.swap_remove(at);
        match completion.result {
            Ok(()) => {
                self.counters.requests = self.counters.requests.saturating_add(1);
                self.counters.bytes = self.counters.bytes.saturating_add(completion.buffer.len() as u64);
                if !writes {
                    return self.compare(first, &completion.buffer);
                }
                for (known, sum) in self.known(first).zip(sums) {
                    *known = Some(sum);
                }
            }
            // A write that a reset ended may be done in part: forget these blocks.
            Err(_) if disk.broken() == Some(BreakReason::Stopped) => {
                self.counters.lost = self.counters.lost.saturating_add(1);
                self.known(first).zip(sums).for_each(|(known, _)| *known = None);
            }
            Err(error) => return Err(SoakError::Request(error)),
        }
        Ok(())
    }

    /// The sums from block `first` on.
    fn known(&mut self, first: u64) -> impl Iterator<Item = &mut Option<u64>> {
        self.sums.iter_mut().skip(usize::try_from(first).unwrap_or(usize::MAX))
    }

    /// Compares read blocks with their known checksums, and records the unknown ones.
    fn compare(&mut self, first: u64, read: &[u8]) -> Result<(), SoakError> {
        // A name request reads no block.
        let blocks = (first..).zip(read.chunks_exact(BLOCK));
        for ((block, bytes), known) in blocks.zip(self.known(first)) {
            let sum = sum(bytes);
            if *known.get_or_insert(sum) != sum {
                return Err(SoakError::Mismatch(block.saturating_mul(BLOCK as u64)));
            }
        }
        Ok(())
    }
}

fn sector(block: u64) -> u64 {
    block.saturating_mul(BLOCK as u64 / SECTOR)
}

/// A checksum that depends on every bit and its position.
fn sum(block: &[u8]) -> u64 {
    let words = block.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    words.fold(0, |sum, word| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
