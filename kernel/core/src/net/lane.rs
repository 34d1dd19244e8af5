//! One direction's queue and the buffers that the device holds.

use super::error::{Direction, NetError};
use crate::dma::{Dma, DmaError, Mapping, Segment};
use crate::seam::{Mmio, Platform};
use crate::virtio::queue::Queue;
use crate::virtio::ring::{Descriptor, QueueError};
use crate::virtio::transport::{Doorbell, Transport};
use alloc::vec::Vec;
use core::mem;

/// Most descriptors used of one queue.
const QUEUE_SIZE: u16 = 128;
/// Bytes of struct virtio_net_hdr of a modern device (virtio 1.2, 5.1.6).
pub(super) const HEADER: usize = 12;

/// A buffer that the device holds, while there is a mapping. It is owned here, so that nobody else can look at it
/// meanwhile.
#[derive(Default)]
struct Place {
    buffer: Vec<u8>,
    mapping: Option<Mapping>,
}

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
    /// By head of chain.
    held: Vec<Place>,
}

impl<P: Platform> Lane<P> {
    /// Sets the direction's queue up.
    pub fn new<M: Mmio>(
        direction: Direction,
        transport: &mut Transport<M>,
        dma: &Dma<P>,
    ) -> Result<Self, NetError> {
        let (queue, doorbell) = transport.queue(direction.queue(), QUEUE_SIZE, dma)?;
        let held = core::iter::repeat_with(Place::default).take(usize::from(queue.size())).collect();
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
    pub fn stage(&mut self, buffer: Vec<u8>, len: usize) -> Result<u16, NotTaken> {
        let Self { direction, dma, queue, held, .. } = self;
        let room = queue.next_head().and_then(|head| Some((head, held.get_mut(usize::from(head))?)));
        let Some((next, place)) = room else {
            let full = QueueError::Full { want: 1, free: queue.free() };
            return Err((buffer, Refusal::NoRoom(NetError::Queue(*direction, full))));
        };
        place.buffer = buffer;
        let part = place.buffer.get_mut(..len).unwrap_or_default();
        let mapped = match direction {
            Direction::Receive => dma.map_from_device_at(&mut place.mapping, part),
            Direction::Transmit => dma.map_to_device_at(&mut place.mapping, part),
        };
        let refusal = match (mapped, &place.mapping) {
            (Ok(()), Some(mapping)) => match hand_over(queue, mapping) {
                // That head: nothing was staged in between.
                Ok(head) => return Ok(head),
                Err(error) => self.refusal(error),
            },
            (Err(error), _) if error.is_exhausted() => Refusal::NoRoom(error.into()),
            (Err(error), _) => Refusal::Broken(error.into()),
            (Ok(()), None) => Refusal::Broken(DmaError::Empty.into()),
        };
        Err((self.take_back(next), refusal))
    }

    /// The buffer at `head`, which the device was not told of.
    fn take_back(&mut self, head: u16) -> Vec<u8> {
        let Some(place) = self.held.get_mut(usize::from(head)) else { return Vec::new() };
        if let Some(mapping) = place.mapping.take() {
            self.dma.unmap(mapping);
        }
        mem::take(&mut place.buffer)
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
        let Some(Place { buffer, mapping: place }) = self.held.get_mut(usize::from(used.head)) else {
            return Ok(None);
        };
        let Some(len) = place.as_ref().map(Mapping::len) else { return Ok(None) };
        let written = usize::try_from(used.written).unwrap_or(usize::MAX).min(len);
        self.dma.finish_at(place, written, buffer.get_mut(..len).unwrap_or_default());
        Ok(Some(Done { head: used.head, buffer: mem::take(buffer), len, written }))
    }

    /// Ends the queue. Unless the device's reset is confirmed, nothing that it may still write is ever used
    /// again.
    pub fn dismantle(self, reset_confirmed: bool) {
        for Place { buffer, mapping } in self.held {
            let Some(mapping) = mapping else { continue };
            if reset_confirmed {
                self.dma.unmap(mapping);
            } else {
                self.dma.quarantine(mapping);
                if !self.dma.bounced() {
                    // A device that was not reset may write here as long as the machine runs.
                    mem::forget(buffer);
                }
            }
        }
        self.queue.dismantle(reset_confirmed);
    }
}

/// Stages a chain of a mapping's pieces: of one, for every buffer that fits into a frame of the pool.
fn hand_over<P: Platform>(queue: &mut Queue<P>, mapping: &Mapping) -> Result<u16, QueueError> {
    let descriptor = |piece: &Segment| Descriptor {
        bus: piece.bus,
        len: piece.len,
        device_writes: mapping.device_writes(),
    };
    match mapping.segments() {
        [piece] => queue.stage(&[descriptor(piece)]),
        pieces => queue.stage(&pieces.iter().map(descriptor).collect::<Vec<_>>()),
    }
}
