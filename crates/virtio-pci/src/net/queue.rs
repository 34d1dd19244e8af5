//! The queue of one direction, and the buffers that the device holds.

#![allow(unsafe_code, reason = "buffers are lent, and come back once the device has let go")]

use super::error::{Direction, NetError};
use crate::virtio::queue::Queue;
use crate::virtio::ring::{Descriptor, QueueError};
use crate::virtio::transport::{Doorbell, Transport};
use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::{Dma, DmaError, Mapping, Segment};

/// Most descriptors in a queue.
const QUEUE_SIZE: u16 = 128;
/// Bytes of struct virtio_net_hdr of a modern device (virtio 1.2, 5.1.6).
pub(super) const HEADER: usize = 12;

/// A buffer that the device has returned.
pub(super) struct Done {
    /// The head of its chain.
    pub head: u16,
    pub buffer: Vec<u8>,
    /// Bytes that the device was given to read or to write.
    pub len: usize,
    /// Bytes that it says it wrote, not more than it was allowed.
    pub written: usize,
}

/// A buffer that could not be submitted, and why.
pub(super) type NotTaken = (Vec<u8>, Refusal);

/// Why a buffer was not submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No room now.
    NoRoom(NetError),
    /// The device cannot be used any more.
    Broken(NetError),
}

/// A queue with its buffers.
pub(super) struct NetQueue<P: Platform> {
    direction: Direction,
    dma: Dma<P>,
    /// Holds the mapping of each chain, by its head.
    queue: Queue<P, Option<Mapping>>,
    doorbell: Doorbell,
    /// Every descriptor has a buffer, so each place keeps its slot of the pool.
    keeps: bool,
}

impl<P: Platform> NetQueue<P> {
    /// Sets the direction's queue up.
    pub fn new<M: Mmio>(
        direction: Direction,
        transport: &mut Transport<M>,
        dma: &Dma<P>,
    ) -> Result<Self, NetError> {
        let (queue, doorbell) = transport.queue(direction.queue(), QUEUE_SIZE, dma)?;
        Ok(Self { direction, dma: dma.clone(), queue, doorbell, keeps: false })
    }

    /// Descriptors in the queue.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Chains that the device holds.
    pub fn posted(&self) -> u16 {
        self.queue.posted()
    }

    /// Whether nothing is posted or staged.
    pub fn is_empty(&self) -> bool {
        self.queue.free() == self.queue.size()
    }

    /// From now on a receive buffer's slot of the pool stays with its descriptor, if there are as many buffers as
    /// descriptors. With fewer buffers, slots would stay with descriptors that are not used next.
    pub fn keep_slots(&mut self) {
        self.keeps = self.direction == Direction::Receive && !self.has_room();
    }

    /// Whether there is a free descriptor.
    pub fn has_room(&self) -> bool {
        self.queue.free() > 0
    }

    /// Stages the first `len` bytes of `buffer`, which the device writes (receive) or reads (transmit) after the next
    /// [`Self::publish`]. Returns the head of the chain.
    pub fn stage(&mut self, mut buffer: Vec<u8>, len: usize) -> Result<u16, NotTaken> {
        let Self { direction, dma, queue, .. } = self;
        let Some((head, place)) = queue.place() else {
            let full = QueueError::Full { want: 1, free: queue.free() };
            return Err((buffer, Refusal::NoRoom(NetError::Queue(*direction, full))));
        };
        let mapped = match direction {
            Direction::Receive => dma.map_again_at(place, &mut buffer, len),
            Direction::Transmit => dma.map_at(place, &mut buffer, len, false),
        };
        let mapping = match (mapped, &*place) {
            (Ok(()), Some(mapping)) => mapping,
            (Err(error), _) if error.is_exhausted() => return Err((buffer, Refusal::NoRoom(error.into()))),
            (Err(error), _) => return Err((buffer, Refusal::Broken(error.into()))),
            (Ok(()), None) => return Err((buffer, Refusal::Broken(DmaError::Empty.into()))),
        };
        let descriptor = |piece: &Segment| Descriptor {
            bus: piece.bus,
            len: piece.len,
            device_writes: mapping.device_writes(),
        };
        let staged = match mapping.segments() {
            [piece] => {
                let piece = descriptor(piece);
                // SAFETY: the piece is the mapping's, for its direction. The mapping stays in this place, which is that
                // of the chain's head, until `take` has the chain back, or `free_memory` ends it.
                unsafe { queue.stage(&[piece]) }
            }
            pieces => {
                let pieces: Vec<_> = pieces.iter().map(descriptor).collect();
                // SAFETY: as above, for each piece.
                unsafe { stage_all(queue, &pieces) }
            }
        };
        // This is the place of `head`: nothing was staged in between.
        staged.map_err(|error| {
            let mapping = queue.payload(head).and_then(Option::take);
            // SAFETY: nothing was staged: the device does not know the mapping.
            let buffer = mapping.map(|mapping| unsafe { dma.unmap(mapping) }).unwrap_or_default();
            (buffer, refusal(*direction, queue.size(), error))
        })
    }

    /// Makes all that was staged visible to the device, with one notification if it wants any.
    pub fn publish<M: Mmio>(&mut self, transport: &Transport<M>) -> Result<(), NetError> {
        if self.queue.publish() {
            self.doorbell.ring(transport.mmio())?;
        }
        Ok(())
    }

    /// Enables the interrupt for the next completion; true if there is something to take already.
    pub fn arm(&mut self) -> bool {
        self.queue.arm()
    }

    /// Disables the interrupt.
    pub fn disarm(&mut self) {
        self.queue.disarm();
    }

    /// Takes one buffer back from the device, with the bytes that it wrote.
    pub fn take(&mut self) -> Result<Option<Done>, NetError> {
        let violation = |violation| NetError::Violation(self.direction, violation);
        let Some(used) = self.queue.take().map_err(violation)? else { return Ok(None) };
        let Some(place) = self.queue.payload(used.head) else { return Ok(None) };
        let Some(len) = place.as_ref().map(Mapping::len) else { return Ok(None) };
        let written = usize::try_from(used.written).unwrap_or(usize::MAX).min(len);
        // SAFETY: the queue has taken the chain back from the device.
        let buffer = unsafe {
            if self.keeps {
                self.dma.finish_keeping(place, written)
            } else {
                self.dma.finish_at(place, written)
            }
        };
        Ok(Some(Done { head: used.head, buffer, len, written }))
    }

    /// Ends the queue. Unless the device's reset is confirmed, memory that it may still write to is not used again.
    ///
    /// # Safety
    /// `reset_confirmed` is true only if the device's reset was confirmed.
    pub unsafe fn free_memory(self, reset_confirmed: bool) {
        // SAFETY: as the caller promises.
        for mapping in unsafe { self.queue.free_memory(reset_confirmed) }.into_iter().flatten() {
            if reset_confirmed {
                // SAFETY: the caller promises that the reset was confirmed.
                drop(unsafe { self.dma.unmap(mapping) });
            } else {
                self.dma.quarantine(mapping);
            }
        }
    }
}

/// Whether the next chain may be staged after this error.
fn refusal(direction: Direction, size: u16, error: QueueError) -> Refusal {
    match error {
        QueueError::Full { want, .. } if want <= usize::from(size) => {
            Refusal::NoRoom(NetError::Queue(direction, error))
        }
        QueueError::Broken(violation) => Refusal::Broken(NetError::Violation(direction, violation)),
        error => Refusal::Broken(NetError::Queue(direction, error)),
    }
}

/// Stages a chain of several pieces, which only a buffer of more than a pool frame has.
///
/// # Safety
/// As for [`Queue::stage`].
#[inline(never)]
unsafe fn stage_all<P: Platform>(
    queue: &mut Queue<P, Option<Mapping>>,
    chain: &[Descriptor],
) -> Result<u16, QueueError> {
    // SAFETY: as the caller promises.
    unsafe { queue.stage(chain) }
}
