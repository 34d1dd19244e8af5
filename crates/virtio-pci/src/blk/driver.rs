//! The driver: submit many, kick once, poll completions. Nothing here waits; see [`super::blocking`].
//!
//! Source: virtio 1.2, 5.2.6. The first protocol violation, or a timeout, breaks the device: it is reset within a
//! bound, its requests fail, and memory that it may still write to is not used again until a reset is confirmed.

#![allow(unsafe_code, reason = "what the device held is given back once it has let go")]

use crate::blk::abilities::Abilities;
use crate::blk::chain::{in_pieces, stage_all};
use crate::blk::control::Control;
use crate::blk::error::{BlkError, BreakReason, Rejected};
use crate::blk::geometry::Geometry;
use crate::blk::life::Live;
use crate::blk::request::{Completion, HEADER_BYTES, Operation, Request, Token};
use crate::interrupts::{Delivery, HaltPoll, IrqSource};
use crate::virtio::features::Features;
use crate::virtio::life::Life;
use crate::virtio::ring::{Descriptor, QueueError, Used};
use crate::virtio::violation::Violation;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::{Dma, Mapping, Segment};

/// Most descriptors in a queue: a larger queue would not fit in one frame.
pub(super) const QUEUE_SIZE: u16 = 1024;
/// Most requests in flight: each needs at least a header and a status descriptor.
const SLOTS: u16 = 256;
/// Most data segments in a request: bounds how much of the queue one chain takes.
const SEGMENTS: u16 = 64;
/// Bytes that every device takes in a segment ([`Geometry::segment_bytes`]).
const LEAST_SEGMENT: u32 = 512;
/// Bytes of the answer to GET_ID.
pub(super) const ID_BYTES: usize = 20;
/// How long a request may take, unless [`Blk::set_timeout`] says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A block device, through one of its queues. One CPU at a time uses it, and shares nothing with other queues to submit
/// and to complete. A device with several queues has one of these for each ([`Blk::probe_queues`]). If the device
/// breaks at one queue it is broken at all, and each queue returns its own memory at its next poll.
#[derive(Debug)]
pub struct Blk<M: Mmio, P: Platform> {
    pub(super) control: Arc<Control<M>>,
    line: Option<Arc<IrqSource>>,
    features: Features,
    pub(super) dma: Dma<P>,
    geometry: Geometry,
    /// Bytes that the device takes in a segment.
    device_segment_bytes: u32,
    pub(super) life: Life<Live<P>, BreakReason>,
    /// Requests that were in flight when the device broke and whose completion was not polled yet; the next one last.
    pub(super) ended: Vec<Request>,
    pub(super) in_flight: u16,
    /// Most requests that may be in flight.
    most: u16,
    chain: Vec<Descriptor>,
    next_token: u64,
    queue_size: u16,
    pub(super) timeout: Duration,
    pub(super) halt_poll: HaltPoll,
}

impl<M: Mmio, P: Platform> Blk<M, P> {
    pub(super) fn new(
        control: &Arc<Control<M>>,
        line: Option<Arc<IrqSource>>,
        features: Features,
        geometry: &Geometry,
        (dma, live): (Dma<P>, Live<P>),
    ) -> Self {
        let queue_size = live.queue.size();
        // What the device takes, and what the queue and this driver have room for.
        let segments = geometry.segments.min(SEGMENTS).min(queue_size.saturating_sub(2)).max(1);
        let halt_poll = HaltPoll::new(dma.platform());
        Self {
            control: Arc::clone(control),
            line,
            features,
            dma,
            geometry: Geometry { segments, ..*geometry },
            device_segment_bytes: geometry.segment_bytes,
            ended: Vec::new(),
            in_flight: 0,
            most: slots(queue_size),
            chain: Vec::with_capacity(usize::from(SEGMENTS).saturating_add(2)),
            next_token: 0,
            queue_size,
            life: Life::new(live),
            timeout: TIMEOUT,
            halt_poll,
        }
    }

    /// The disk's geometry. The capacity follows changes at run time.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        Geometry { capacity: self.control.capacity(), ..self.geometry }
    }

    /// Reads the capacity again, also if the device announced no change: for use before work on the whole disk.
    ///
    /// # Errors
    /// The device is broken, or its capacity cannot be read or used.
    pub fn refresh(&mut self) -> Result<Geometry, BlkError> {
        self.life.live().map_err(BlkError::Broken)?;
        let before = self.control.capacity();
        self.control.refresh(self.dma.platform())?;
        self.note_resize(before);
        Ok(self.geometry())
    }

    /// What the disk offered beyond reading and writing when it was brought up.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.control.abilities()
    }

    /// Changes of the capacity since the device was brought up.
    #[must_use]
    pub fn resizes(&self) -> u64 {
        self.control.resizes()
    }

    /// The features agreed on.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// The interrupt that this queue was given.
    #[must_use]
    pub fn line(&self) -> Option<&IrqSource> {
        self.line.as_deref()
    }

    /// How to wait for this queue's completions now.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.line().map_or(Delivery::Poll, IrqSource::delivery)
    }

    /// The device's DMA.
    #[must_use]
    pub fn dma(&self) -> &Dma<P> {
        &self.dma
    }

    /// Descriptors in the queue.
    #[must_use]
    pub fn queue_size(&self) -> u16 {
        self.queue_size
    }

    /// Why the device is not used any longer.
    #[must_use]
    pub fn broken(&self) -> Option<BreakReason> {
        self.life.ended()
    }

    /// Requests that were submitted and whose completion was not polled yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.into()
    }

    /// Sets how long a request may take before the device counts as broken.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Cuts buffers into segments of at most so many bytes, at least a sector and never more than the device takes.
    /// The limit before.
    pub fn limit_segments(&mut self, bytes: u32) -> u32 {
        let most = self.device_segment_bytes;
        mem::replace(&mut self.geometry.segment_bytes, bytes.max(LEAST_SEGMENT).min(most))
    }

    /// Submits a read of `buffer.len()` bytes from `sector` on.
    ///
    /// # Errors
    /// Nothing was submitted, and the error holds the buffer.
    pub fn submit_read(&mut self, sector: u64, buffer: Vec<u8>) -> Result<Token, Rejected> {
        match self.geometry().check(sector, buffer.len()) {
            Ok(()) => self.submit(Operation::Read, sector, buffer),
            Err(error) => Err(Rejected { error, buffer }),
        }
    }

    /// Submits a write of `buffer` from `sector` on.
    ///
    /// # Errors
    /// Nothing was submitted, and the error holds the buffer.
    pub fn submit_write(&mut self, sector: u64, buffer: Vec<u8>) -> Result<Token, Rejected> {
        if self.geometry.read_only {
            return Err(Rejected { error: BlkError::ReadOnly, buffer });
        }
        match self.geometry().check(sector, buffer.len()) {
            Ok(()) => self.submit(Operation::Write, sector, buffer),
            Err(error) => Err(Rejected { error, buffer }),
        }
    }

    /// Submits a flush, which makes every completed write durable.
    ///
    /// # Errors
    /// Nothing was submitted.
    pub fn submit_flush(&mut self) -> Result<Token, Rejected> {
        if !self.geometry.flush {
            return Err(Rejected { error: BlkError::NotOffered, buffer: Vec::new() });
        }
        self.submit(Operation::Flush, 0, Vec::new())
    }

    /// Submits a request for the device's name; the completion's buffer holds 20 bytes, padded with zeros.
    ///
    /// # Errors
    /// Nothing was submitted.
    pub fn submit_get_id(&mut self) -> Result<Token, Rejected> {
        self.submit(Operation::GetId, 0, alloc::vec![0; ID_BYTES])
    }

    pub(super) fn submit(
        &mut self,
        operation: Operation,
        sector: u64,
        mut buffer: Vec<u8>,
    ) -> Result<Token, Rejected> {
        match self.stage(operation, sector, &mut buffer) {
            Ok(token) => {
                // The request owns its memory: nothing is left here to free.
                mem::forget(buffer);
                Ok(token)
            }
            Err(error) => Err(Rejected { error, buffer }),
        }
    }

    /// Maps the buffer and stages the chain: header, data, status. On success the request owns the buffer's memory.
    fn stage(&mut self, operation: Operation, sector: u64, buffer: &mut Vec<u8>) -> Result<Token, BlkError> {
        let Live { queue, table, .. } = self.life.live_mut().map_err(BlkError::Broken)?;
        if self.in_flight >= self.most {
            return Err(BlkError::Busy);
        }
        let full = BlkError::Queue(QueueError::Full { want: 1, free: 0 });
        let (head, request) = queue.place().ok_or(full)?;
        let [header, status] = table.prepare(head, operation, sector).ok_or(BlkError::Busy)?;
        let header = Descriptor { bus: header, len: HEADER_BYTES, device_writes: false };
        let status = Descriptor { bus: status, len: 1, device_writes: true };
        let device_writes = operation.device_writes();
        let mapping = &mut request.mapping;
        let len = buffer.len();
        if len == 0 {
            *mapping = None;
        } else {
            self.dma.map_at(mapping, buffer, len, device_writes).map_err(BlkError::Dma)?;
        }
        let token = Token(self.next_token);
        request.token = Some(token);
        request.operation = operation;
        let staged = match request.mapping.as_ref().map_or(&[][..], Mapping::segments) {
            [Segment { bus, len }] if *len <= self.geometry.segment_bytes => {
                let data = Descriptor { bus: *bus, len: *len, device_writes };
                // SAFETY: header and status lie in the table, which is released only after a reset that was confirmed;
                // the data in the mapping, for its direction. It stays in the request's place until `complete` has the
                // chain back, or `break_device` has ended the device.
                unsafe { queue.stage(&[header, data, status]) }.map_err(BlkError::Queue)
            }
            segments => {
                let ends = [header, status];
                let pieces = in_pieces(&mut self.chain, ends, segments, device_writes, &self.geometry);
                // SAFETY: as above: the pieces are those of the same mapping, none longer than its segment.
                pieces.and_then(|()| unsafe { stage_all(queue, &self.chain) })
            }
        };
        match staged {
            Ok(_) => {
                self.next_token = self.next_token.wrapping_add(1);
                self.in_flight = self.in_flight.wrapping_add(1);
                Ok(token)
            }
            Err(error) => {
                if let Some(request) = queue.payload(head) {
                    request.token = None;
                    if let Some(mapping) = request.mapping.take() {
                        // SAFETY: nothing was staged: the device does not know the mapping.
                        *buffer = unsafe { self.dma.unmap(mapping) };
                    }
                }
                Err(error)
            }
        }
    }

    /// Shows the device everything submitted since the last kick, with at most one notification.
    pub fn kick(&mut self) {
        let Ok(live) = self.life.live_mut() else { return };
        if live.queue.publish()
            && let Err(error) = live.doorbell.ring(self.control.mmio())
        {
            self.break_device(BreakReason::Transport(error));
        }
    }

    /// One completion, if there is one. On a broken device every request completes with an error.
    pub fn poll(&mut self) -> Option<Completion> {
        if self.control.has_ended() {
            // Another queue broke the device. No effect if this queue already knows.
            self.break_device(BreakReason::Stopped);
        }
        let Ok(live) = self.life.live_mut() else { return self.poll_broken() };
        match live.queue.take() {
            Ok(used) => self.complete(used?),
            Err(violation) => self.broken_by(violation),
        }
    }

    #[cold]
    fn poll_broken(&mut self) -> Option<Completion> {
        let reason = self.broken()?;
        let Request { token, returned, .. } = self.ended.pop()?;
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(Completion { token: token?, result: Err(BlkError::Broken(reason)), buffer: returned })
    }

    #[cold]
    fn broken_by(&mut self, violation: Violation) -> Option<Completion> {
        self.break_device(BreakReason::Violation(violation));
        self.poll()
    }

    fn complete(&mut self, used: Used) -> Option<Completion> {
        let head = used.head;
        let Live { queue, table, .. } = self.life.live_mut().ok()?;
        let Some((request, token)) = queue.payload(head).and_then(|request| {
            let token = request.token?;
            Some((request, token))
        }) else {
            return self.broken_by(Violation::NotPosted { id: head });
        };
        let result = match table.status(head) {
            0 => Ok(()),
            1 => Err(BlkError::Io),
            2 => Err(BlkError::Unsupported),
            other => Err(BlkError::Status(other)),
        };
        let operation = request.operation;
        // For a read the device must write all the data and the status byte. For a write it writes the status byte
        // alone, so that count is not checked.
        let len = request.mapping.as_ref().map_or(0, Mapping::len);
        let needed = u32::try_from(len).unwrap_or(u32::MAX).saturating_add(1);
        if result.is_ok() && operation == Operation::Read && used.written < needed {
            return self.broken_by(Violation::TooShort { id: head, written: used.written, needed });
        }
        // Do not copy data back for a failed request.
        let data = if result.is_ok() { used.written.saturating_sub(1) } else { 0 };
        let data = usize::try_from(data).unwrap_or(usize::MAX);
        // SAFETY: the queue has taken the request's chain back from the device.
        let mut buffer = unsafe { self.dma.finish_at(&mut request.mapping, data) };
        if result.is_err() && operation.device_writes() {
            buffer.fill(0);
        }
        request.token = None;
        self.in_flight = self.in_flight.wrapping_sub(1);
        Some(Completion { token, result, buffer })
    }

    /// Enables the interrupt for the next completion. False if it is useless to wait for one: something has completed
    /// already, or the device is polled or broken.
    pub(super) fn arm(&mut self) -> bool {
        if self.delivery() == Delivery::Poll {
            return false;
        }
        self.life.live_mut().is_ok_and(|live| !live.queue.arm())
    }

    /// Disables the interrupt.
    pub(super) fn disarm(&mut self) {
        if let Ok(live) = self.life.live_mut() {
            live.queue.disarm();
        }
    }
}

impl<M: Mmio, P: Platform> Blk<M, P> {
    /// How long a request may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Most requests in a queue of `size` descriptors.
fn slots(size: u16) -> u16 {
    size.checked_div(2).unwrap_or(0).clamp(1, SLOTS)
}
