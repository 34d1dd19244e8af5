//! A disk's queue from set-up to its end: its memory while the device works, the health check, and the end of its
//! requests when the device breaks.

#![allow(unsafe_code, reason = "what the device held is given back once it has let go")]

use crate::blk::driver::{Blk, QUEUE_SIZE};
use crate::blk::error::{BlkError, BreakReason};
use crate::blk::request::{Request, Table};
use crate::virtio::queue::Queue;
use crate::virtio::regions::Regions;
use crate::virtio::transport::{Doorbell, Reopen, Transport};
use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::Dma;

/// What a queue has as long as the device is not broken.
#[derive(Debug)]
pub(super) struct Live<P: Platform> {
    pub(super) queue: Queue<P, Request>,
    pub(super) doorbell: Doorbell,
    pub(super) table: Table<P::Memory>,
}

impl<P: Platform> Live<P> {
    /// Sets queue `index` up, in memory of `dma`.
    pub(super) fn set_up<M: Mmio>(
        transport: &mut Transport<M>,
        index: u16,
        dma: &Dma<P>,
    ) -> Result<Self, BlkError> {
        let (queue, doorbell) = transport.queue(index, QUEUE_SIZE, dma)?;
        match dma.coherent(Table::<P::Memory>::bytes(queue.size())) {
            Ok(table) => Ok(Self { queue, doorbell, table: Table(table) }),
            Err(error) => {
                queue.quarantine();
                Err(BlkError::Dma(error))
            }
        }
    }

    /// Keeps the memory from use until a reset is confirmed.
    pub(super) fn quarantine(self, dma: &Dma<P>) {
        self.queue.quarantine();
        dma.quarantine_coherent(self.table.0);
    }

    /// Gives the memory back, or keeps it from use until a reset is confirmed. Returns what was in flight.
    ///
    /// # Safety
    /// `reset_confirmed` is true only if the device's reset was confirmed.
    unsafe fn free_memory(self, dma: &Dma<P>, reset_confirmed: bool) -> Vec<Request> {
        let Self { queue, table: Table(table), .. } = self;
        // SAFETY: as the caller promises.
        let requests = unsafe { queue.free_memory(reset_confirmed) };
        if reset_confirmed {
            // SAFETY: the caller promises that the reset was confirmed.
            unsafe { dma.release(table) };
        } else {
            dma.quarantine_coherent(table);
        }
        requests
    }

    /// [`Self::free_memory`], and returns or quarantines the buffer of each request in flight. The last request of the
    /// list completes first.
    ///
    /// # Safety
    /// As for [`Self::free_memory`].
    unsafe fn end_requests(self, dma: &Dma<P>, reset_confirmed: bool) -> Vec<Request> {
        // SAFETY: as the caller promises.
        let mut ended = unsafe { self.free_memory(dma, reset_confirmed) };
        ended.retain(|request| request.token.is_some());
        ended.reverse();
        for request in &mut ended {
            let Some(mapping) = request.mapping.take() else { continue };
            if !reset_confirmed {
                dma.quarantine(mapping);
                continue;
            }
            // SAFETY: the device confirmed its reset.
            request.returned = unsafe { dma.unmap(mapping) };
            if request.operation.device_writes() {
                request.returned.fill(0);
            }
        }
        ended
    }
}

impl<M: Mmio, P: Platform> Blk<M, P> {
    /// Health check while nothing completes: checks that the device is alive, reads a changed capacity, and repeats the
    /// notification, which may have been lost.
    pub fn check_device(&mut self) {
        let Ok(live) = self.life.live() else { return };
        let doorbell = live.doorbell;
        let before = self.control.capacity();
        if let Err(reason) = self.check_health(doorbell) {
            self.break_device(reason);
        }
        self.note_resize(before);
    }

    /// Logs a changed capacity.
    pub(super) fn note_resize(&self, before: u64) {
        let now = self.control.capacity();
        if now != before {
            log::info!("blk {}: {before} sectors became {now}", self.dma.id());
        }
    }

    fn check_health(&self, doorbell: Doorbell) -> Result<(), BreakReason> {
        self.control.check_health(self.dma.platform())?;
        if self.in_flight == 0 {
            return Ok(());
        }
        doorbell.ring(self.control.mmio()).map_err(BreakReason::Transport)
    }

    /// Stops using the device for good. Its requests complete with an error at the next polls. Their buffers are
    /// returned only if the device confirmed its reset: otherwise it may still write to them.
    pub fn break_device(&mut self, reason: BreakReason) {
        let Self { life, control, dma, .. } = self;
        let reset = || {
            let end = control.end(reason, dma.id(), dma.platform());
            (end.reason, end.reset_confirmed)
        };
        // SAFETY: `reset_confirmed` is the result of this device's reset.
        let free = |live: Live<P>, reset_confirmed| unsafe { live.end_requests(dma, reset_confirmed) };
        // SAFETY: `control` resets this device, or knows the result of another queue's reset.
        if let Some(ended) = unsafe { life.end(dma, reset, free) } {
            self.ended = ended;
        }
    }

    /// Retries the reset of a broken device, if it was not confirmed. True if it is confirmed now; then this queue's
    /// slots of the pool are free again.
    pub fn retry_reset(&mut self) -> bool {
        let Self { life, control, dma, .. } = self;
        // SAFETY: `control` returns the result of this device's reset.
        unsafe { life.retry_reset(dma, || control.retry_reset(dma.platform())) }
    }
}

impl<M: Mmio + Clone, P: Platform> Blk<M, P> {
    pub(super) fn reopen(&self) -> Result<Reopen<M>, BlkError> {
        self.control.reopen(self.dma.platform()).map_err(BlkError::Broken)
    }

    /// The location of the device's registers.
    ///
    /// # Errors
    /// Another CPU does not release them.
    pub fn registers(&self) -> Result<Regions, BlkError> {
        Ok(self.reopen()?.regions())
    }
}

/// Resets the device, so that no buffer is freed that the device may use.
impl<M: Mmio, P: Platform> Drop for Blk<M, P> {
    fn drop(&mut self) {
        self.break_device(BreakReason::Stopped);
    }
}
