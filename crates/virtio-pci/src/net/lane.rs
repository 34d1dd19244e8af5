//! One direction's queue and the buffers that the device holds.

#![allow(unsafe_code, reason = "buffers are lent, and come back once the device has let go")]

use super::error::{Direction, NetError};
use crate::virtio::queue::Queue;
use crate::virtio::ring::{Descriptor, QueueError};
use crate::virtio::transport::{Doorbell, Transport};
use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::{Dma, DmaError, Mapping, Segment};

/// Most descriptors used of one queue.
const QUEUE_SIZE: u16 = 128;
/// Bytes of struct virtio_net_hdr of a modern device (virtio 1.2, 5.1.6).
pub(super) const HEADER: usize = 12;

/// A buffer that the device has given back.
pub(super) struct Done {
    /// The head of its chain.
    pub head: u16,
    pub buffer: Vec<u8>,
    /// Bytes that the device was given to read or to write.
    pub len: usize,
    /// Bytes that it says it wrote, not more than it was allowed.
    pub written: usize,
}

/// A buffer that could not be handed over, and why.
pub(super) type NotTaken = (Vec<u8>, Refusal);

/// Why a buffer was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no room now.
    NoRoom(NetError),
    /// There never will be.
    Broken(NetError),
}

/// A queue with its buffers.
pub(super) struct Lane<P: Platform> {
    direction: Direction,
    dma: Dma<P>,
    queue: Queue<P>,
    doorbell: Doorbell,
    /// What the device holds, by head of chain.
    held: Vec<Option<Mapping>>,
}

impl<P: Platform> Lane<P> {
    /// Sets the direction's queue up.
    pub fn new<M: Mmio>(
        direction: Direction,
        transport: &mut Transport<M>,
        dma: &Dma<P>,
    ) -> Result<Self, NetError> {
        let (queue, doorbell) = transport.queue(direction.queue(), QUEUE_SIZE, dma)?;
        let held = core::iter::repeat_with(|| None).take(usize::from(queue.size())).collect();
        Ok(Self { direction, dma: dma.clone(), queue, doorbell, held })
    }

    /// Descriptors in the queue.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Chains that the device holds.
    pub fn posted(&self) -> u16 {
        self.queue.posted()
    }

    /// Whether the device holds nothing and is about to get nothing.
    pub fn is_empty(&self) -> bool {
        self.queue.free() == self.queue.size()
    }

    /// Whether a buffer in one piece could be handed over.
    pub fn has_room(&self) -> bool {
        self.queue.free() > 0
    }

    /// Hands the first `len` bytes of `buffer` to the device, from the next [`Self::publish`] on: to be
    /// written, or, when transmitting, to be read. Answers the head of its chain.
    pub fn stage(&mut self, mut buffer: Vec<u8>, len: usize) -> Result<u16, NotTaken> {
        let Self { direction, dma, queue, held, .. } = self;
        let room = queue.next_head().and_then(|head| held.get_mut(usize::from(head)));
        let Some(place) = room else {
            let full = QueueError::Full { want: 1, free: queue.free() };
            return Err((buffer, Refusal::NoRoom(NetError::Queue(*direction, full))));
        };
        let mapped = match direction {
            Direction::Receive => dma.map_from_device_at(place, &mut buffer, len),
            Direction::Transmit => dma.map_to_device_at(place, &mut buffer, len),
        };
        match (mapped, &place) {
            // SAFETY: the mapping stays in this place, which is that of the chain's head, until `take` has the chain
            // back, or `dismantle` ends it.
            (Ok(()), Some(mapping)) => match unsafe { hand_over(queue, mapping) } {
                // The head that the place is for: nothing was staged in between.
                Ok(head) => Ok(head),
                Err(error) => {
                    // SAFETY: nothing was staged: the device was not told of it.
                    let buffer = unsafe { dma.finish_at(place, 0) };
                    Err((buffer, self.refusal(error)))
                }
            },
            (Err(error), _) if error.is_exhausted() => Err((buffer, Refusal::NoRoom(error.into()))),
            (Err(error), _) => Err((buffer, Refusal::Broken(error.into()))),
            (Ok(()), None) => Err((buffer, Refusal::Broken(DmaError::Empty.into()))),
        }
    }

    fn refusal(&self, error: QueueError) -> Refusal {
        match error {
            QueueError::Full { want, .. } if want <= self.held.len() => {
                Refusal::NoRoom(NetError::Queue(self.direction, error))
            }
            QueueError::Broken(lie) => Refusal::Broken(NetError::Lie(self.direction, lie)),
            error => Refusal::Broken(NetError::Queue(self.direction, error)),
        }
    }

    /// Makes all that was staged visible to the device, with one notification if it wants any.
    pub fn publish<M: Mmio>(&mut self, transport: &Transport<M>) -> Result<(), NetError> {
        if self.queue.publish() {
            transport.notify(self.doorbell)?;
        }
        Ok(())
    }

    /// Asks for an interrupt at the next completion; true when there is something to take already.
    pub fn arm(&mut self) -> bool {
        self.queue.arm()
    }

    /// Asks for no interrupts any more.
    pub fn disarm(&mut self) {
        self.queue.disarm();
    }

    /// Takes one buffer back from the device, with what was written already in it.
    pub fn take(&mut self) -> Result<Option<Done>, NetError> {
        let lie = |lie| NetError::Lie(self.direction, lie);
        let Some(used) = self.queue.take().map_err(lie)? else { return Ok(None) };
        // The queue gives back only heads that it was given, and each once.
        let Some(place) = self.held.get_mut(usize::from(used.head)) else { return Ok(None) };
        let Some(len) = place.as_ref().map(Mapping::len) else { return Ok(None) };
        let written = usize::try_from(used.written).unwrap_or(usize::MAX).min(len);
        // SAFETY: the queue has taken the chain back from the device.
        let buffer = unsafe { self.dma.finish_at(place, written) };
        Ok(Some(Done { head: used.head, buffer, len, written }))
    }

    /// Ends the queue. Unless the device's reset is confirmed, nothing that it may still write is ever used
    /// again.
    ///
    /// # Safety
    /// `reset_confirmed` is true only if the device's reset was confirmed.
    pub unsafe fn dismantle(self, reset_confirmed: bool) {
        for mapping in self.held.into_iter().flatten() {
            if reset_confirmed {
                // SAFETY: the device uses nothing any more, as the caller says.
                drop(unsafe { self.dma.unmap(mapping) });
            } else {
                self.dma.quarantine(mapping);
            }
        }
        // SAFETY: as the caller promises.
        unsafe { self.queue.dismantle(reset_confirmed) };
    }
}

/// Stages a chain of a mapping's pieces: of one, for every buffer that fits into a frame of the pool.
///
/// # Safety
/// The mapping lasts until the chain comes back or the device's reset is confirmed.
unsafe fn hand_over<P: Platform>(queue: &mut Queue<P>, mapping: &Mapping) -> Result<u16, QueueError> {
    let descriptor = |piece: &Segment| Descriptor {
        bus: piece.bus,
        len: piece.len,
        device_writes: mapping.device_writes(),
    };
    match mapping.segments() {
        // SAFETY: the piece is the mapping's, for its direction, and lasts as the caller promises.
        [piece] => unsafe { queue.stage(&[descriptor(piece)]) },
        // SAFETY: as above, for each piece.
        pieces => unsafe { queue.stage(&pieces.iter().map(descriptor).collect::<Vec<_>>()) },
    }
}
