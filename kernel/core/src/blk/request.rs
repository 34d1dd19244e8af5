//! Requests in flight: what was asked, who holds the buffer, and the shared words of each.

use crate::addr::BusAddr;
use crate::blk::error::BlkError;
use crate::dma::{Coherent, Mapping};
use crate::seam::DeviceMemory;
use crate::virtio::ring::Descriptor;
use alloc::vec::Vec;

/// Names a request from submission to completion. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u64);

/// Kinds of request (virtio 1.2, 5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// VIRTIO_BLK_T_IN
    Read = 0,
    /// VIRTIO_BLK_T_OUT
    Write = 1,
    /// VIRTIO_BLK_T_FLUSH
    Flush = 4,
    /// VIRTIO_BLK_T_GET_ID
    GetId = 8,
}

impl Operation {
    /// Whether the device writes the request's buffer.
    pub(super) fn device_writes(self) -> bool {
        matches!(self, Self::Read | Self::GetId)
    }
}

/// A request that is over.
#[derive(Debug)]
pub struct Completion {
    /// What submission answered.
    pub token: Token,
    /// Whether it succeeded.
    pub result: Result<(), BlkError>,
    /// The buffer that was submitted: after a read that succeeded its new content, after one that failed
    /// zeros. Empty if the device may still use it: such a buffer is lost.
    pub buffer: Vec<u8>,
}

/// A request that the device holds.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) token: Token,
    pub(super) operation: Operation,
    pub(super) mapping: Option<Mapping>,
    pub(super) buffer: Vec<u8>,
}

/// Distance of two requests' shared words: 16 bytes header, 1 byte status, 15 unused.
const STRIDE: usize = 32;
const STATUS_AT: usize = 16;
/// What the status byte is before the device answers; not a status of virtio.
const NO_STATUS: u32 = 0xff;

/// The headers and status bytes of all requests, in memory that the device can write at any time.
#[derive(Debug)]
pub(super) struct Table<D>(pub(super) Coherent<D>);

impl<D: DeviceMemory> Table<D> {
    /// Bytes for `slots` requests.
    pub(super) fn bytes(slots: u16) -> usize {
        usize::from(slots).saturating_mul(STRIDE)
    }

    /// Writes a header, and a status byte that means nothing; answers the two descriptors.
    pub(super) fn prepare(&self, slot: u16, operation: Operation, sector: u64) -> Option<[Descriptor; 2]> {
        let at = usize::from(slot).checked_mul(STRIDE)?;
        let status = at.checked_add(STATUS_AT)?;
        let Self(Coherent { memory, bus, .. }) = self;
        memory.store_pair(at, [operation as u64, sector]);
        memory.store32(status, NO_STATUS);
        let bus = |offset: usize| -> Option<BusAddr> { bus.checked_add(u64::try_from(offset).ok()?) };
        Some([
            Descriptor { bus: bus(at)?, len: 16, device_writes: false },
            Descriptor { bus: bus(status)?, len: 1, device_writes: true },
        ])
    }

    /// Reads the status byte, once.
    pub(super) fn status(&self, slot: u16) -> u8 {
        let at = usize::from(slot).saturating_mul(STRIDE).saturating_add(STATUS_AT);
        let [status, ..] = self.0.memory.load32(at).to_le_bytes();
        status
    }
}

/// Private: requests by slot and slots by chain head.
#[derive(Debug)]
pub(super) struct Requests {
    in_flight: Vec<Option<InFlight>>,
    free: Vec<u16>,
    slot_of: Vec<u16>,
}

impl Requests {
    pub(super) fn new(slots: u16, queue_size: u16) -> Self {
        Self {
            in_flight: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            slot_of: (0..queue_size).map(|_| u16::MAX).collect(),
        }
    }

    /// Requests that the device holds.
    pub(super) fn count(&self) -> usize {
        self.in_flight.len().saturating_sub(self.free.len())
    }

    /// The slot that the next [`Self::insert`] takes.
    pub(super) fn next_slot(&self) -> Option<u16> {
        self.free.last().copied()
    }

    pub(super) fn insert(&mut self, head: u16, request: InFlight) {
        let Some(slot) = self.free.pop() else { return };
        if let Some(entry) = self.in_flight.get_mut(usize::from(slot)) {
            *entry = Some(request);
        }
        if let Some(entry) = self.slot_of.get_mut(usize::from(head)) {
            *entry = slot;
        }
    }

    /// The slot of the chain `head`, if a request has it.
    pub(super) fn slot(&self, head: u16) -> Option<u16> {
        let slot = *self.slot_of.get(usize::from(head))?;
        self.in_flight.get(usize::from(slot))?.as_ref().map(|_| slot)
    }

    pub(super) fn get_mut(&mut self, slot: u16) -> Option<&mut InFlight> {
        self.in_flight.get_mut(usize::from(slot))?.as_mut()
    }

    /// Forgets the request in `slot`, of which everything that matters has been taken.
    pub(super) fn forget(&mut self, slot: u16) {
        if let Some(entry @ Some(_)) = self.in_flight.get_mut(usize::from(slot)) {
            *entry = None;
            self.free.push(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: u16) -> Option<InFlight> {
        let request = self.in_flight.get_mut(usize::from(slot))?.take()?;
        self.free.push(slot);
        Some(request)
    }

    /// Some request, if there is any left.
    pub(super) fn remove_any(&mut self) -> Option<InFlight> {
        let slot = self.in_flight.iter().position(Option::is_some)?;
        self.remove(u16::try_from(slot).ok()?)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut InFlight> {
        self.in_flight.iter_mut().flatten()
    }
}
