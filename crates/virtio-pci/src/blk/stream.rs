//! Long transfers: many requests in flight, chunks in the order of the disk, reused buffers.

use crate::blk::driver::Blk;
use crate::blk::error::{BlkError, Rejected};
use crate::blk::geometry::SECTOR;
use crate::blk::request::{Completion, Token};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;
use papr::platform::Platform;
use papr::registers::Mmio;
use thiserror::Error;

/// How a long transfer is cut into requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes in one request; made smaller if the device or the pool needs it.
    pub chunk: usize,
    /// Requests in flight.
    pub depth: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { chunk: 256 << 10, depth: 8 }
    }
}

/// A transfer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("sector {sector}: {error}")]
pub struct TransferError {
    /// First sector of the request that failed.
    pub sector: u64,
    /// Why it failed.
    pub error: BlkError,
}

/// A request of a transfer, in the order of the disk.
struct Pending {
    token: Token,
    offset: u64,
    done: Option<Vec<u8>>,
}

enum Direction<'a> {
    /// Called with each chunk in order.
    Read(&'a mut dyn FnMut(u64, &[u8])),
    /// Called to make each chunk.
    Write(&'a mut dyn FnMut(u64, &mut [u8])),
}

impl<M: Mmio, P: Platform> Blk<M, P> {
    /// Reads `bytes` (offsets in whole logical blocks) and passes each chunk to `take` with its offset, in order.
    ///
    /// # Errors
    /// The first request that failed, after all others of the transfer are over.
    pub fn read_range(
        &mut self,
        bytes: Range<u64>,
        plan: Plan,
        mut take: impl FnMut(u64, &[u8]),
    ) -> Result<(), TransferError> {
        self.transfer(bytes, plan, &mut Direction::Read(&mut take))
    }

    /// Writes `bytes` (offsets in whole logical blocks); `make` fills each chunk.
    ///
    /// # Errors
    /// The first request that failed, after all others of the transfer are over.
    pub fn write_range(
        &mut self,
        bytes: Range<u64>,
        plan: Plan,
        mut make: impl FnMut(u64, &mut [u8]),
    ) -> Result<(), TransferError> {
        self.transfer(bytes, plan, &mut Direction::Write(&mut make))
    }

    fn transfer(
        &mut self,
        bytes: Range<u64>,
        plan: Plan,
        direction: &mut Direction<'_>,
    ) -> Result<(), TransferError> {
        let start = bytes.start;
        if self.in_flight() > 0 {
            // Their completions could not be told from this transfer's.
            return Err(TransferError { sector: sector(start), error: BlkError::Busy });
        }
        let mut transfer = Transfer {
            next: start,
            end: bytes.end,
            chunk: whole_blocks(plan.chunk as u64, self.geometry().block),
            depth: plan.depth.max(1),
            pending: VecDeque::with_capacity(plan.depth),
            spare: Vec::with_capacity(plan.depth),
        };
        let result = transfer.run(self, direction);
        if result.is_err() {
            self.drain();
        }
        result
    }
}

struct Transfer {
    next: u64,
    end: u64,
    chunk: u64,
    depth: usize,
    pending: VecDeque<Pending>,
    spare: Vec<Vec<u8>>,
}

impl Transfer {
    fn run<M: Mmio, P: Platform>(
        &mut self,
        disk: &mut Blk<M, P>,
        direction: &mut Direction<'_>,
    ) -> Result<(), TransferError> {
        loop {
            while self.pending.len() < self.depth && self.next < self.end {
                if !self.submit(disk, direction)? {
                    break;
                }
            }
            if self.pending.is_empty() {
                return Ok(());
            }
            let mut completion = disk.wait();
            while let Some(one) = completion {
                self.note(disk, one)?;
                completion = disk.poll();
            }
            self.hand_over(direction);
        }
    }

    /// Submits the next chunk; false if it must wait for others.
    fn submit<M: Mmio, P: Platform>(
        &mut self,
        disk: &mut Blk<M, P>,
        direction: &mut Direction<'_>,
    ) -> Result<bool, TransferError> {
        let offset = self.next;
        let len = self.end.saturating_sub(offset).min(self.chunk);
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        let submitted = match direction {
            Direction::Read(_) => disk.submit_read(sector(offset), buffer),
            Direction::Write(make) => {
                make(offset, &mut buffer);
                disk.submit_write(sector(offset), buffer)
            }
        };
        let Rejected { error, buffer } = match submitted {
            Ok(token) => {
                self.pending.push_back(Pending { token, offset, done: None });
                self.next = offset.saturating_add(len);
                return Ok(true);
            }
            Err(rejected) => rejected,
        };
        self.spare.push(buffer);
        if error.is_temporary() && !self.pending.is_empty() {
            return Ok(false);
        }
        let smaller = whole_blocks(self.chunk / 2, disk.geometry().block);
        if error.is_too_large() && smaller < self.chunk {
            self.chunk = smaller;
            return Ok(true);
        }
        Err(TransferError { sector: sector(offset), error })
    }

    fn note<M: Mmio, P: Platform>(
        &mut self,
        disk: &mut Blk<M, P>,
        completion: Completion,
    ) -> Result<(), TransferError> {
        let Some(pending) = self.pending.iter_mut().find(|p| p.token == completion.token) else {
            return Ok(());
        };
        if let Err(error) = completion.result {
            return Err(failed(disk, pending.offset, completion.buffer.len(), error));
        }
        pending.done = Some(completion.buffer);
        Ok(())
    }

    /// Passes on the completed chunks from the front.
    fn hand_over(&mut self, direction: &mut Direction<'_>) {
        while let Some(buffer) = self.pending.front_mut().and_then(|front| front.done.take()) {
            if let Some(front) = self.pending.pop_front()
                && let Direction::Read(take) = direction
            {
                take(front.offset, &buffer);
            }
            self.spare.push(buffer);
        }
    }
}

/// Why the request at this byte failed. A disk that has shrunk only reports an I/O error: its capacity, read again,
/// gives the reason.
#[cold]
fn failed<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    offset: u64,
    bytes: usize,
    error: BlkError,
) -> TransferError {
    let sector = sector(offset);
    let beyond = |disk: &mut Blk<M, P>| disk.refresh().ok()?.check(sector, bytes).err();
    let error = if error == BlkError::Io { beyond(disk).unwrap_or(error) } else { error };
    TransferError { sector, error }
}

fn sector(offset: u64) -> u64 {
    offset / SECTOR
}

/// `bytes` in whole blocks, at least one.
fn whole_blocks(bytes: u64, block: u32) -> u64 {
    let block = u64::from(block);
    (bytes & !block.wrapping_sub(1)).max(block)
}
