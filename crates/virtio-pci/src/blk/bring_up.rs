//! Brings a disk up: features, geometry, queues.

use crate::blk::abilities::Abilities;
use crate::blk::control::Control;
use crate::blk::driver::Blk;
use crate::blk::error::{BlkError, BreakReason};
use crate::blk::geometry::{Geometry, MQ, WANTED};
use crate::blk::life::Live;
use crate::virtio::life::reset_after_failed_set_up;
use crate::virtio::transport::Transport;
use alloc::sync::Arc;
use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::Dma;

/// The queues of a device: there is at least one.
#[derive(Debug)]
pub struct Queues<M: Mmio, P: Platform> {
    /// Queue 0.
    pub first: Blk<M, P>,
    /// The others, in order.
    pub others: Vec<Blk<M, P>>,
}

/// A queue before DRIVER_OK; `None` if it could not be set up.
type Part<P> = (Dma<P>, Option<Live<P>>);

impl<M: Mmio + Clone, P: Platform> Blk<M, P> {
    /// Brings a device up after [`Transport::begin`], with one queue. `dma` makes the device's DMA, for a device with
    /// or without VIRTIO_F_ACCESS_PLATFORM, and enables bus mastering.
    ///
    /// # Errors
    /// The device is refused. It has been reset, or the memory that it may still use is never used again.
    pub fn probe<E: From<BlkError>>(
        transport: Transport<M>,
        dma: impl FnOnce(bool) -> Result<Dma<P>, E>,
    ) -> Result<Self, E> {
        Ok(Self::probe_queues(transport, 1, dma)?.first)
    }

    /// As [`Self::probe`], with up to `most` queues, as far as the device and its part of the pool allow.
    ///
    /// # Errors
    /// As [`Self::probe`]; also a queue that the device claims and does not have.
    pub fn probe_queues<E: From<BlkError>>(
        mut transport: Transport<M>,
        most: u16,
        dma: impl FnOnce(bool) -> Result<Dma<P>, E>,
    ) -> Result<Queues<M, P>, E> {
        let wanted = if most > 1 { WANTED | MQ } else { WANTED };
        transport.negotiate(wanted).map_err(BlkError::from)?;
        let dma = dma(transport.access_platform())?;
        Ok(Self::start(transport, most, dma)?)
    }

    fn start(mut transport: Transport<M>, most: u16, dma: Dma<P>) -> Result<Queues<M, P>, BlkError> {
        let mut parts = Vec::new();
        let (geometry, abilities) = match Self::set_up(&mut transport, most, dma.clone(), &mut parts) {
            Ok(told) => told,
            Err(error) => {
                let handles: Vec<_> = parts.into_iter().map(Self::quarantine).collect();
                reset_after_failed_set_up(&mut transport, dma.platform(), &handles);
                return Err(error);
            }
        };
        let lines: Vec<_> = (0..).map(|index| transport.line_of(index)).take(parts.len()).collect();
        let features = transport.features();
        let control = Arc::new(Control::new(transport, geometry.capacity, abilities));
        let mut queues = parts.into_iter().zip(lines).filter_map(|((dma, live), line)| {
            live.map(|live| Self::new(&control, line, features, &geometry, (dma, live)))
        });
        let mut first = queues.next().ok_or(BlkError::NoQueues)?;
        let others = queues.collect();
        match control.start(first.dma().platform()) {
            Ok(()) => Ok(Queues { first, others }),
            Err(reason) => {
                first.break_device(reason);
                Err(match reason {
                    BreakReason::Transport(error) => error.into(),
                    other => BlkError::Broken(other),
                })
            }
        }
    }

    /// Resets the device and brings it up again with one queue, queue 0. Call [`Self::break_device`] and poll its
    /// completions before. The pool loses nothing.
    ///
    /// # Errors
    /// The device broke the protocol before, the reset is not confirmed, or the device is refused: it stays broken.
    pub fn restart(&mut self) -> Result<(), BlkError> {
        self.break_device(BreakReason::Stopped);
        if self.in_flight() > 0 {
            return Err(BlkError::Busy);
        }
        if self.broken() == Some(BreakReason::Stopped) {
            self.retry_reset();
        }
        self.life.may_restart(BreakReason::Stopped).map_err(BlkError::Broken)?;
        let mut transport = self.reopen()?.begin(self.dma().platform())?;
        transport.negotiate(WANTED)?;
        let Queues { mut first, .. } = Self::start(transport, 1, self.dma().clone())?;
        first.set_timeout(self.timeout);
        *self = first;
        Ok(())
    }

    fn quarantine((dma, live): Part<P>) -> Dma<P> {
        if let Some(live) = live {
            live.quarantine(&dma);
        }
        dma
    }

    /// Sets the queues up, one in each of the `parts`. On an error the last part has no queue.
    fn set_up(
        transport: &mut Transport<M>,
        most: u16,
        dma: Dma<P>,
        parts: &mut Vec<Part<P>>,
    ) -> Result<(Geometry, Abilities), BlkError> {
        let (geometry, abilities) = Geometry::read(transport)?;
        let handles = dma.split(most.min(geometry.queues)).map_err(|stuck| BlkError::Dma(stuck.into()))?;
        for (index, dma) in (0..).zip(handles) {
            parts.push((dma, None));
            if let Some((dma, part)) = parts.last_mut() {
                *part = Some(Live::set_up(transport, index, dma)?);
            }
        }
        Ok((geometry, abilities))
    }
}
