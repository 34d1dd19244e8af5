//! Helpers that wait, each within the driver's patience. They may be used while nothing else is in flight.

use crate::blk::driver::{Blk, ID_BYTES};
use crate::blk::error::{BlkError, BreakReason, Rejected};
use crate::blk::geometry::SECTOR;
use crate::blk::request::{Completion, Token};
use crate::blk::stream::Plan;
use crate::interrupts::{Delivery, IrqSource};
use alloc::vec::Vec;
use core::time::Duration;
use papr::clock::{Deadline, Wake};
use papr::platform::Platform;
use papr::registers::Mmio;
use papr::text::HostText;

/// Looks at the ring between two looks at the device's registers.
const LOOKS: u32 = 4096;
/// Looks before the driver sleeps, whatever the clock says: a device that is this fast needs no clock.
const LOOKS_AWAKE: u32 = 256;
/// Looks after which it sleeps although the clock says that it is early: it may stand still.
const LOOKS_MOST: u32 = 1 << 17;
/// How long an interrupt is waited for before the driver looks by itself.
const NAP: Duration = Duration::from_millis(10);

impl<M: Mmio, P: Platform> Blk<M, P> {
    /// The next completion. `None` when nothing is in flight. A device that lets its patience run out is
    /// broken. What was submitted is published first: the device cannot answer what it does not know of.
    pub fn wait(&mut self) -> Option<Completion> {
        self.kick();
        let mut deadline = Deadline::after(self.dma().platform(), self.patience);
        let start = self.dma().platform().now();
        let (mut looks, mut slept) = (0u32, false);
        // Arrivals of the interrupt so far, after a nap that the timer had to end.
        let mut unheralded = None;
        loop {
            if let Some(completion) = self.poll() {
                self.judge_interrupts(unheralded);
                if slept {
                    self.halt_poll.slept(self.dma().platform().now().saturating_sub(start));
                }
                return Some(completion);
            }
            if self.in_flight() == 0 {
                return None;
            }
            looks = looks.saturating_add(1);
            let over = if let Some(nap) = self.nap(start, looks) {
                let (over, wake) = deadline.expired_after_nap(self.dma().platform(), nap);
                self.disarm();
                let relied_on = self.delivery() != Delivery::Poll;
                slept |= relied_on;
                unheralded = None;
                if wake == Wake::Timer {
                    unheralded = self.line().filter(|_| relied_on).map(IrqSource::arrivals);
                    self.check_device();
                }
                over
            } else {
                if looks.is_multiple_of(LOOKS) {
                    self.check_device();
                }
                self.broken().is_none() && deadline.expired(self.dma().platform())
            };
            if over && self.broken().is_none() {
                self.break_device(BreakReason::Timeout);
            }
        }
    }

    /// Waits until nothing is in flight, for a caller whose work has failed. What completes is dropped.
    pub fn drain(&mut self) {
        while self.wait().is_some() {}
    }

    /// For how long to give the CPU up in a wait since `start` with so many looks; `None` to look once more. An
    /// interrupt has been asked for where there is one.
    fn nap(&mut self, start: u64, looks: u32) -> Option<Duration> {
        if looks <= LOOKS_AWAKE {
            return None;
        }
        let clock = self.dma().platform();
        let waited = clock.now().saturating_sub(start);
        if self.delivery() == Delivery::Poll {
            // Whoever pauses interrupts wants to look all the time.
            if self.line().is_some_and(IrqSource::is_paused) {
                return None;
            }
            return self.halt_poll.polled_nap(clock, waited);
        }
        let early = waited < self.halt_poll.limit() && looks < LOOKS_MOST;
        (!early && self.arm()).then_some(NAP)
    }

    /// A completion that only the timer led to, and no interrupt since, counts against the interrupt.
    fn judge_interrupts(&self, unheralded: Option<u32>) {
        let Some(line) = self.line() else { return };
        if unheralded == Some(line.arrivals()) && line.missed() {
            log::warn!("blk {}: interrupts do not come, polled from now on", self.dma().id());
        }
    }

    /// Reads `bytes` bytes from `sector` on, in as many requests as that takes.
    ///
    /// # Errors
    /// The first request that failed.
    pub fn read(&mut self, sector: u64, bytes: usize) -> Result<Vec<u8>, BlkError> {
        let range = self.range(sector, bytes)?;
        let mut out = Vec::with_capacity(bytes);
        self.read_range(range, Plan::default(), |_, chunk| out.extend_from_slice(chunk))
            .map_err(|failed| failed.error)?;
        Ok(out)
    }

    /// Writes `data` from `sector` on, in as many requests as that takes.
    ///
    /// # Errors
    /// The first request that failed; others may have been carried out.
    pub fn write(&mut self, sector: u64, data: &[u8]) -> Result<(), BlkError> {
        let range = self.range(sector, data.len())?;
        let start = range.start;
        self.write_range(range, Plan::default(), |offset, chunk| {
            let from = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
            if let Some(data) = data.get(from..from.saturating_add(chunk.len())) {
                chunk.copy_from_slice(data);
            }
        })
        .map_err(|failed| failed.error)
    }

    /// Makes what was written durable. A device that offers no flush does so with each write.
    ///
    /// # Errors
    /// The device could not.
    pub fn flush(&mut self) -> Result<(), BlkError> {
        if !self.geometry().flush {
            return self.broken().map_or(Ok(()), |reason| Err(BlkError::Broken(reason)));
        }
        self.idle()?;
        let token = self.submit_flush();
        self.finish(token).map(|_| ())
    }

    /// The device's name: at most 20 bytes, up to the first NUL, whatever they are.
    ///
    /// # Errors
    /// The device has none, or the request failed.
    pub fn id(&mut self) -> Result<HostText, BlkError> {
        self.idle()?;
        let token = self.submit_get_id();
        let buffer = self.finish(token)?;
        Ok(name(&buffer))
    }

    pub(super) fn idle(&self) -> Result<(), BlkError> {
        if self.in_flight() == 0 { Ok(()) } else { Err(BlkError::Busy) }
    }

    pub(super) fn finish(&mut self, submitted: Result<Token, Rejected>) -> Result<Vec<u8>, BlkError> {
        submitted.map_err(|rejected| rejected.error)?;
        let Completion { result, buffer, .. } = self.wait().ok_or(BlkError::Busy)?;
        result.map(|()| buffer)
    }

    fn range(&self, sector: u64, bytes: usize) -> Result<core::ops::Range<u64>, BlkError> {
        self.geometry().check(sector, bytes)?;
        let start = sector.saturating_mul(SECTOR);
        Ok(start..start.saturating_add(bytes as u64))
    }
}

/// The name in the answer to GET_ID: up to the first NUL, whatever the device sent.
#[must_use]
pub fn name(answer: &[u8]) -> HostText {
    let name = answer.split(|byte| *byte == 0).next().unwrap_or(&[]);
    HostText::new(name.get(..ID_BYTES).unwrap_or(name))
}
