//! Measures one piece of disk work: keeps requests of one size in flight for a time, and checks every answer.

use crate::work::{Access, Order, Work};
use alloc::vec::Vec;
use papr::clock::{Deadline, ticks};
use papr::platform::Platform;
use papr::registers::Mmio;
use postern_core::disk::pattern::{Pattern, splitmix64};
use thiserror::Error;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason, Rejected};
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::blk::request::{Completion, Token};

/// Polls of the ring between two health checks of the device's registers.
const POLLS: u32 = 4096;
/// Most requests per millisecond, more than any machine completes: bounds the work if the clock stands still.
const REQUESTS_PER_MS: u128 = 2000;

/// The expected content of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeros; a device without a medium.
    Zeros,
    /// The pattern that `blk-pattern` writes.
    Pattern(Pattern),
}

impl Content {
    /// The word at byte `offset` of the disk.
    fn word(self, offset: u64) -> [u8; 8] {
        match self {
            Self::Zeros => [0; 8],
            Self::Pattern(pattern) => pattern.word(offset / 8),
        }
    }

    fn fill(self, offset: u64, buffer: &mut [u8]) {
        match self {
            Self::Zeros => buffer.fill(0),
            Self::Pattern(pattern) => pattern.fill(offset, buffer),
        }
    }

    /// Whether the first and last word of a chunk are as expected.
    fn holds(self, offset: u64, chunk: &[u8]) -> bool {
        let last = offset.saturating_add(chunk.len() as u64).saturating_sub(8);
        chunk.first_chunk() == Some(&self.word(offset)) && chunk.last_chunk() == Some(&self.word(last))
    }
}

/// The result of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Requests that were submitted and completed.
    pub requests: u64,
    /// Timebase ticks from before the first submission to after the last completion.
    pub ticks: u64,
    /// Ticks in which the CPU only waited for the device.
    pub idle: u64,
    /// Most requests in flight: fewer than requested if the queue or pool is too small.
    pub depth: usize,
}

/// Why a measurement failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BenchError {
    /// A request failed.
    #[error("{0}")]
    Request(BlkError),
    /// The disk is smaller than one request.
    #[error("the disk is smaller than one request")]
    TooSmall,
    /// No request completed in the time.
    #[error("no request was made in the time")]
    Nothing,
    /// Too many later requests completed before this one.
    #[error("a request was overtaken by thousands of others")]
    Overtaken,
    /// The answer at this byte offset of the disk is wrong.
    #[error("the answer for byte {0} is not what the disk holds")]
    Mismatch(u64),
}

/// The disk's content, by its first block.
///
/// # Errors
/// The block cannot be read, or holds neither the pattern nor zeros.
pub fn content<M: Mmio, P: Platform>(disk: &mut Blk<M, P>, pattern: Pattern) -> Result<Content, BenchError> {
    let block = usize::try_from(disk.geometry().block).unwrap_or(0);
    let first = disk.read(0, block).map_err(BenchError::Request)?;
    match pattern.first_difference(0, &first) {
        None => Ok(Content::Pattern(pattern)),
        Some(_) if first.iter().all(|byte| *byte == 0) => Ok(Content::Zeros),
        Some(offset) => Err(BenchError::Mismatch(offset)),
    }
}

/// Does one piece of work. Writes do not change the disk's content.
///
/// # Errors
/// The first request that failed or had a wrong answer.
pub fn run<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    work: Work,
    content: Content,
) -> Result<Measured, BenchError> {
    let places = disk.geometry().capacity.saturating_mul(SECTOR).checked_div(work.bytes.into()).unwrap_or(0);
    if places == 0 {
        return Err(BenchError::TooSmall);
    }
    let depth = usize::from(work.depth);
    let len = work.bytes as usize;
    let mut run = Run {
        work,
        content,
        places,
        number: 0,
        offsets: Offsets::new(),
        spare: (0..depth).map(|_| alloc::vec![0; len]).collect(),
        measured: Measured { requests: 0, ticks: 0, idle: 0, depth: 0 },
    };
    let start = disk.dma().platform().now();
    let end = start.saturating_add(ticks(disk.dma().platform(), work.time));
    if let Err(error) = run.all(disk, end) {
        disk.drain();
        return Err(error);
    }
    if run.measured.requests == 0 {
        return Err(BenchError::Nothing);
    }
    run.measured.ticks = disk.dma().platform().now().wrapping_sub(start);
    Ok(run.measured)
}

/// Offsets of the requests in flight, by token modulo the table's length, which needs no search.
struct Offsets(Vec<(u64, u64)>);

impl Offsets {
    /// Most later requests that may complete before an earlier one.
    const LEN: u64 = 8192;

    fn new() -> Self {
        Self((0..Self::LEN).map(|_| (u64::MAX, 0)).collect())
    }

    fn put(&mut self, token: Token, offset: u64) {
        if let Some(entry) = self.0.get_mut((token.number() % Self::LEN) as usize) {
            *entry = (token.number(), offset);
        }
    }

    fn get(&self, token: Token) -> Option<u64> {
        let (of, offset) = *self.0.get((token.number() % Self::LEN) as usize)?;
        (of == token.number()).then_some(offset)
    }
}

struct Run {
    work: Work,
    content: Content,
    places: u64,
    number: u64,
    offsets: Offsets,
    spare: Vec<Vec<u8>>,
    measured: Measured,
}

impl Run {
    fn all<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>, end: u64) -> Result<(), BenchError> {
        let most = self.work.time.as_millis().saturating_mul(REQUESTS_PER_MS);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        loop {
            if disk.dma().platform().now() < end && self.number < most {
                self.submit(disk)?;
            }
            let Some(first) = self.wait(disk) else { return Ok(()) };
            self.complete(first)?;
            while let Some(next) = disk.poll() {
                self.complete(next)?;
            }
        }
    }

    /// Submits as many requests as there are buffers and room.
    fn submit<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Result<(), BenchError> {
        while let Some(mut buffer) = self.spare.pop() {
            let offset = self.place().saturating_mul(self.work.bytes.into());
            let sector = offset / SECTOR;
            let submitted = match self.work.access {
                Access::Read => disk.submit_read(sector, buffer),
                Access::Write => {
                    self.content.fill(offset, &mut buffer);
                    disk.submit_write(sector, buffer)
                }
            };
            match submitted {
                Ok(token) => self.offsets.put(token, offset),
                Err(Rejected { error, buffer }) if error.is_temporary() && disk.in_flight() > 0 => {
                    self.spare.push(buffer);
                    break;
                }
                Err(Rejected { error, .. }) => return Err(BenchError::Request(error)),
            };
            self.number = self.number.wrapping_add(1);
        }
        self.measured.depth = self.measured.depth.max(disk.in_flight());
        disk.kick();
        Ok(())
    }

    fn place(&self) -> u64 {
        let number = match self.work.order {
            Order::Sequential => self.number,
            Order::Random => splitmix64(self.number),
        };
        number.checked_rem(self.places).unwrap_or(0)
    }

    /// The next completion; counts the time until the poll that found it.
    fn wait<M: Mmio, P: Platform>(&mut self, disk: &mut Blk<M, P>) -> Option<Completion> {
        if let Some(completion) = disk.poll() {
            return Some(completion);
        }
        let since = disk.dma().platform().now();
        let mut deadline = Deadline::after(disk.dma().platform(), disk.timeout());
        let mut polls = 0u32;
        while disk.in_flight() > 0 {
            let before = disk.dma().platform().now();
            if let Some(completion) = disk.poll() {
                self.measured.idle = self.measured.idle.saturating_add(before.wrapping_sub(since));
                return Some(completion);
            }
            polls = polls.wrapping_add(1);
            if polls.is_multiple_of(POLLS) {
                disk.check_device();
            }
            if disk.broken().is_none() && deadline.expired(disk.dma().platform()) {
                disk.break_device(BreakReason::Timeout);
            }
        }
        None
    }

    fn complete(&mut self, completion: Completion) -> Result<(), BenchError> {
        let Completion { token, result, buffer } = completion;
        result.map_err(BenchError::Request)?;
        let offset = self.offsets.get(token).ok_or(BenchError::Overtaken)?;
        if self.work.access == Access::Read && !self.content.holds(offset, &buffer) {
            return Err(BenchError::Mismatch(offset));
        }
        self.measured.requests = self.measured.requests.saturating_add(1);
        self.spare.push(buffer);
        Ok(())
    }
}

pub mod other;
