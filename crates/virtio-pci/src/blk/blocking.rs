//! Helpers that wait, each within the driver's timeout. Use them only while nothing else is in flight.

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

/// Polls of the ring between two health checks of the device's registers.
const POLLS: u32 = 4096;
/// Polls of the ring before the first look at the clock: a device that is this fast needs none.
const POLLS_AWAKE: u32 = 256;
/// Polls after which the driver sleeps even if the clock says that it is too early: the clock may stand still.
const MOST_POLLS: u32 = 1 << 17;
/// Longest sleep for an interrupt before the driver polls the ring again.
const CEDE_INTERVAL: Duration = Duration::from_millis(10);

impl<M: Mmio, P: Platform> Blk<M, P> {
    /// The next completion; `None` if nothing is in flight. Publishes what was submitted first. A device that does not
    /// answer within the timeout is broken.
    pub fn wait(&mut self) -> Option<Completion> {
        self.kick();
        let mut deadline = Deadline::after(self.dma().platform(), self.timeout);
        let start = self.dma().platform().now();
        let (mut polls, mut slept) = (0u32, false);
        // Number of interrupts so far, if the timer ended the last sleep.
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
            polls = polls.saturating_add(1);
            let over = if let Some(interval) = self.cede_interval(start, polls) {
                let (over, wake) = deadline.expired_after_cede(self.dma().platform(), interval);
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
                if polls.is_multiple_of(POLLS) {
                    self.check_device();
                }
                self.broken().is_none() && deadline.expired(self.dma().platform())
            };
            if over && self.broken().is_none() {
                self.break_device(BreakReason::Timeout);
            }
        }
    }

    /// Waits until nothing is in flight and drops the completions, for a caller whose work has failed.
    pub fn drain(&mut self) {
        while self.wait().is_some() {}
    }

    /// How long to cede the CPU in a wait that began at `start` and polled this often; `None` to poll once more.
    /// Enables the interrupt, if there is one.
    fn cede_interval(&mut self, start: u64, polls: u32) -> Option<Duration> {
        if polls <= POLLS_AWAKE {
            return None;
        }
        let clock = self.dma().platform();
        let waited = clock.now().saturating_sub(start);
        if self.delivery() == Delivery::Poll {
            // A paused interrupt means that the caller wants to poll all the time.
            if self.line().is_some_and(IrqSource::is_paused) {
                return None;
            }
            return self.halt_poll.polled_interval(clock, waited);
        }
        let early = waited < self.halt_poll.limit() && polls < MOST_POLLS;
        (!early && self.arm()).then_some(CEDE_INTERVAL)
    }

    /// Counts a missed interrupt if the timer led to this completion and no interrupt has arrived since.
    fn judge_interrupts(&self, unheralded: Option<u32>) {
        let Some(line) = self.line() else { return };
        if unheralded == Some(line.arrivals()) && line.missed() {
            log::warn!("blk {}: interrupts do not come, polled from now on", self.dma().id());
        }
    }

    /// Reads `bytes` bytes from `sector` on, in as many requests as needed.
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

    /// Writes `data` from `sector` on, in as many requests as needed.
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

    /// Makes completed writes durable. Does nothing on a device without flush requests, whose writes are durable when
    /// they complete.
    ///
    /// # Errors
    /// The flush failed, the device is broken, or other requests are in flight.
    pub fn flush(&mut self) -> Result<(), BlkError> {
        if !self.geometry().flush {
            return self.broken().map_or(Ok(()), |reason| Err(BlkError::Broken(reason)));
        }
        self.idle()?;
        let token = self.submit_flush();
        self.finish(token).map(|_| ())
    }

    /// The device's name: at most 20 bytes, up to the first NUL, not validated.
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
