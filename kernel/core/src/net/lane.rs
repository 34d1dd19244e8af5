//! One direction's queue and the buffers that the device holds.

use super::error::{Direction, NetError};
use crate::dma::{Dma, DmaError, Mapping};
use crate::seam::{Mmio, Platform};
use crate::tce::TceError;
use crate::virtio::queue::Queue;
use crate::virtio::ring::{Descriptor, QueueError};
use crate::virtio::transport::{Doorbell, Transport};
use alloc::vec::Vec;

/// Most descriptors used of one queue.
const QUEUE_SIZE: u16 = 128;
/// Bytes of struct virtio_net_hdr of a modern device (virtio 1.2, 5.1.6).
pub(super) const HEADER: usize = 12;

/// A buffer that the device holds. It is owned here, so that nobody else can look at it meanwhile.
struct Held {
    buffer: Vec<u8>,
    mapping: Mapping,
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
    held: Vec<Option<Held>>,
    chain: Vec<Descriptor>,
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
        Ok(Self { direction, dma: dma.clone(), queue, doorbell, held, chain: Vec::new() })
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
        let part = buffer.get_mut(..len).unwrap_or_default();
        let mapping = match self.direction {
            Direction::Receive => self.dma.map_from_device(part),
            Direction::Transmit => self.dma.map_to_device(part),
        };
        let mapping = match mapping {
            Ok(mapping) => mapping,
            Err(error @ (DmaError::Pool(_) | DmaError::Tce(TceError::NoRoom { .. }))) => {
                return Err((buffer, Refusal::NoRoom(error.into())));
            }
            Err(error) => return Err((buffer, Refusal::Broken(error.into()))),
        };
        let device_writes = mapping.device_writes();
        self.chain.clear();
        self.chain.extend(mapping.segments().iter().map(|s| Descriptor {
            bus: s.bus,
            len: s.len,
            device_writes,
        }));
        match self.queue.stage(&self.chain) {
            Ok(head) => {
                if let Some(place) = self.held.get_mut(usize::from(head)) {
                    *place = Some(Held { buffer, mapping });
                }
                Ok(head)
            }
            Err(error) => {
                self.dma.unmap(mapping);
                Err((buffer, self.refusal(error)))
            }
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
        let Some(Held { mut buffer, mapping }) =
            self.held.get_mut(usize::from(used.head)).and_then(Option::take)
        else {
            return Ok(None);
        };
        let len = mapping.len();
        let written = usize::try_from(used.written).unwrap_or(usize::MAX).min(len);
        self.dma.finish(mapping, written, buffer.get_mut(..len).unwrap_or_default());
        Ok(Some(Done { head: used.head, buffer, len, written }))
    }

    /// Ends the queue. Unless the device's reset is confirmed, nothing that it may still write is ever used
    /// again.
    pub fn dismantle(self, reset_confirmed: bool) {
        for Held { buffer, mapping } in self.held.into_iter().flatten() {
            if reset_confirmed {
                self.dma.unmap(mapping);
            } else {
                self.dma.quarantine(mapping);
                if !self.dma.bounced() {
                    // A device that was not reset may write here as long as the machine runs.
                    core::mem::forget(buffer);
                }
            }
        }
        self.queue.dismantle(reset_confirmed);
    }
}
