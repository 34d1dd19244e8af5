//! Random work on a disk: reads, writes, discards, writes of zeros, flushes and name requests in any order, many at once,
//! and sometimes more than there is room for. A record of every block is kept, so that any wrong answer is found.

mod content;

use alloc::vec::Vec;
use content::{BLOCK, Content, sum};
use papr::platform::Platform;
use papr::registers::Mmio;
use postern_core::disk::pattern::{Pattern, splitmix64};
use thiserror::Error;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason, Rejected};
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::blk::ranges::SectorRange;
use virtio_pci::blk::request::{Completion, Token};

/// Most blocks of an ordinary request.
const USUAL: u64 = 16;
/// Blocks of a request that fills the pool.
const LARGE: usize = 64;
/// Most ranges of a request that names ranges.
const RANGES: u64 = 4;
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
    /// Discards that succeeded.
    pub discards: u64,
    /// Writes of zeros that succeeded.
    pub zeroes: u64,
    /// Discarded blocks that then held neither their earlier content nor zeros; the standard allows any.
    pub undefined: u64,
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

/// What a request does to its blocks.
enum Effect {
    Read,
    /// The checksums of the new content.
    Write(Vec<u64>),
    Discard,
    Zero,
    /// It has no blocks.
    Nothing,
}

/// Blocks of the disk.
#[derive(Clone, Copy)]
struct Blocks {
    first: u64,
    count: u64,
}

impl Blocks {
    fn end(self) -> u64 {
        self.first.saturating_add(self.count)
    }

    fn overlap(self, other: Self) -> bool {
        self.first < other.end() && other.first < self.end()
    }

    fn sectors(self) -> SectorRange {
        SectorRange { sector: sector(self.first), sectors: sector(self.count) }
    }
}

/// A request in flight.
struct Job {
    token: Token,
    blocks: Vec<Blocks>,
    effect: Effect,
}

/// The work on one disk.
pub struct Soak {
    content: Content,
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
        let (content, counters) = (Content::new(blocks), Counters::default());
        Self { content, jobs: Vec::new(), random: seed, writes, counters }
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
                self.submitted(submitted, Vec::new(), Effect::Nothing)?;
            }
            1 => {
                let submitted = disk.submit_get_id();
                self.submitted(submitted, Vec::new(), Effect::Nothing)?;
            }
            2 => while self.transfer(disk, LARGE as u64)? {},
            3 => disk.check_device(),
            4 => self.ranges(disk, Effect::Discard)?,
            5 => self.ranges(disk, Effect::Zero)?,
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
        let blocks = self.content.blocks();
        for first in (0..blocks).step_by(LARGE) {
            let count = (LARGE as u64).min(blocks.saturating_sub(first));
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

    /// `count` random blocks that no request in flight changes; with `changes`, none that it reads, either.
    fn choose(&mut self, count: u64, changes: bool) -> Option<Blocks> {
        let blocks = self.content.blocks();
        let count = count.min(blocks);
        let first = self.random(blocks.saturating_sub(count).saturating_add(1));
        let chosen = Blocks { first, count };
        let busy = |job: &Job| {
            (changes || !matches!(job.effect, Effect::Read))
                && job.blocks.iter().any(|blocks| blocks.overlap(chosen))
        };
        (count > 0 && !self.jobs.iter().any(busy)).then_some(chosen)
    }

    /// Reads or writes `count` random blocks. False if there is no room, or if a request for these blocks is in flight.
    fn transfer<M: Mmio, P: Platform>(
        &mut self,
        disk: &mut Blk<M, P>,
        count: u64,
    ) -> Result<bool, SoakError> {
        let writes = self.writes && self.random(2) == 0;
        let Some(blocks) = self.choose(count, writes) else { return Ok(false) };
        let bytes = usize::try_from(blocks.count).unwrap_or(0).saturating_mul(BLOCK);
        let mut buffer = alloc::vec![0; bytes];
        let at = sector(blocks.first);
        if !writes {
            let submitted = disk.submit_read(at, buffer);
            return self.submitted(submitted, alloc::vec![blocks], Effect::Read);
        }
        Pattern { seed: self.random(u64::MAX) }.fill(0, &mut buffer);
        let sums = buffer.chunks(BLOCK).map(sum).collect();
        let submitted = disk.submit_write(at, buffer);
        self.submitted(submitted, alloc::vec![blocks], Effect::Write(sums))
    }

    /// Discards random blocks or makes them zeros, if the disk is for writing and offers it.
    fn ranges<M: Mmio, P: Platform>(
        &mut self,
        disk: &mut Blk<M, P>,
        effect: Effect,
    ) -> Result<(), SoakError> {
        let abilities = disk.abilities();
        let discards = matches!(effect, Effect::Discard);
        let offer = if discards { abilities.discard } else { abilities.write_zeroes };
        let Some(limits) = offer.limits().filter(|_| self.writes) else { return Ok(()) };
        let most = u64::from(limits.sectors).checked_div(sector(1)).unwrap_or(0).min(USUAL);
        let mut chosen: Vec<Blocks> = Vec::new();
        for _ in 0..self.random(RANGES.min(limits.ranges.into())).saturating_add(1) {
            let count = self.random(most).saturating_add(1).min(most);
            let free = |blocks: &Blocks| chosen.iter().all(|other| !other.overlap(*blocks));
            let blocks = self.choose(count, true).filter(free);
            chosen.extend(blocks);
        }
        if chosen.is_empty() {
            return Ok(());
        }
        let sectors: Vec<SectorRange> = chosen.iter().map(|blocks| blocks.sectors()).collect();
        let unmap = self.random(2) == 0;
        let submitted =
            if discards { disk.submit_discard(&sectors) } else { disk.submit_write_zeroes(&sectors, unmap) };
        self.submitted(submitted, chosen, effect).map(drop)
    }

    fn submitted(
        &mut self,
        submitted: Result<Token, Rejected>,
        blocks: Vec<Blocks>,
        effect: Effect,
    ) -> Result<bool, SoakError> {
        match submitted {
            Ok(token) => {
                self.jobs.push(Job { token, blocks, effect });
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
        let Job { blocks, effect, .. } = self.jobs.swap_remove(at);
        match completion.result {
            Ok(()) => self.succeeded(&blocks, effect, &completion.buffer),
            // A change that a reset ended may be done in part: forget these blocks.
            Err(_) if disk.broken() == Some(BreakReason::Stopped) => {
                self.counters.lost = self.counters.lost.saturating_add(1);
                if !matches!(effect, Effect::Read) {
                    blocks.iter().for_each(|blocks| self.content.forget(blocks.first, blocks.count));
                }
                Ok(())
            }
            Err(error) => Err(SoakError::Request(error)),
        }
    }

    /// Records what a request has changed, and compares what it has read.
    fn succeeded(&mut self, blocks: &[Blocks], effect: Effect, buffer: &[u8]) -> Result<(), SoakError> {
        let Counters { requests, bytes, discards, zeroes, .. } = &mut self.counters;
        *requests = requests.saturating_add(1);
        match effect {
            Effect::Read | Effect::Write(_) => *bytes = bytes.saturating_add(buffer.len() as u64),
            Effect::Discard => *discards = discards.saturating_add(1),
            Effect::Zero => *zeroes = zeroes.saturating_add(1),
            Effect::Nothing => {}
        }
        for blocks in blocks {
            match &effect {
                Effect::Read => self.compare(blocks.first, buffer)?,
                Effect::Write(sums) => self.content.written(blocks.first, sums),
                Effect::Discard => self.content.discarded(blocks.first, blocks.count),
                Effect::Zero => self.content.zeroed(blocks.first, blocks.count),
                Effect::Nothing => {}
            }
        }
        Ok(())
    }

    /// Compares read blocks with what is known of them.
    fn compare(&mut self, first: u64, read: &[u8]) -> Result<(), SoakError> {
        let (wrong, undefined) = self.content.seen(first, read);
        self.counters.undefined = self.counters.undefined.saturating_add(undefined);
        match wrong {
            Some(block) => Err(SoakError::Mismatch(block.saturating_mul(BLOCK as u64))),
            None => Ok(()),
        }
    }
}

fn sector(block: u64) -> u64 {
    block.saturating_mul(BLOCK as u64 / SECTOR)
}
