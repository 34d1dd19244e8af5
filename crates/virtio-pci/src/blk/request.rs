//! Requests in flight: what was asked, who holds the buffer, and the shared words of each.

use crate::blk::error::BlkError;
use crate::virtio::ring::Descriptor;
use alloc::vec::Vec;
use core::mem;
use papr::platform::DeviceMemory;
use svm_dma::dma::BusAddr;
use svm_dma::dma::{Coherent, Mapping};

/// Names a request from submission to completion. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u64);

impl Token {
    /// Which request of its driver's this is, counted from its first.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

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
    /// zeros. Empty if the device may still use it: such a buffer is kept from use until a
    /// reset is confirmed.
    pub buffer: Vec<u8>,
}

/// The place of a request: of one that the device holds, or of the next one.
#[derive(Debug)]
pub(super) struct InFlight {
    posted: bool,
    pub(super) token: Token,
    pub(super) operation: Operation,
    /// With the buffer.
    pub(super) mapping: Option<Mapping>,
    /// The buffer that a broken device gave back.
    pub(super) returned: Vec<u8>,
}

impl InFlight {
    const NONE: Self = Self {
        posted: false,
        token: Token(0),
        operation: Operation::Flush,
        mapping: None,
        returned: Vec::new(),
    };
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
        let Self(coherent) = self;
        let (memory, bus) = (coherent.memory(), coherent.bus);
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
        let [status, ..] = self.0.memory().load32(at).to_le_bytes();
        status
    }
}

/// Private: requests by slot and slots by chain head. A request is made, used and ended where it lies: it is too
/// large to be moved about.
#[derive(Debug)]
pub(super) struct Requests {
    in_flight: Vec<InFlight>,
    free: Vec<u16>,
    slot_of: Vec<u16>,
}

impl Requests {
    pub(super) fn new(slots: u16, queue_size: u16) -> Self {
        Self {
            in_flight: (0..slots).map(|_| InFlight::NONE).collect(),
            free: (0..slots).rev().collect(),
            slot_of: (0..queue_size).map(|_| u16::MAX).collect(),
        }
    }

    /// Requests that the device holds.
    pub(super) fn count(&self) -> usize {
        self.in_flight.len().saturating_sub(self.free.len())
    }

    /// The slot that the next [`Self::post`] takes, and its place.
    pub(super) fn next(&mut self) -> Option<(u16, &mut InFlight)> {
        let slot = *self.free.last()?;
        Some((slot, self.in_flight.get_mut(usize::from(slot))?))
    }

    /// From now on the device holds what is in the place of [`Self::next`], in the chain `head`.
    pub(super) fn post(&mut self, head: u16) {
        let Some(slot) = self.free.pop() else { return };
        if let Some(request) = self.in_flight.get_mut(usize::from(slot)) {
            request.posted = true;
        }
        if let Some(entry) = self.slot_of.get_mut(usize::from(head)) {
            *entry = slot;
        }
    }

    /// The request of the chain `head`, and its slot.
    pub(super) fn of(&mut self, head: u16) -> Option<(u16, &mut InFlight)> {
        let slot = *self.slot_of.get(usize::from(head))?;
        let request = self.in_flight.get_mut(usize::from(slot))?;
        request.posted.then_some((slot, request))
    }

    /// Forgets the request in `slot`, of which everything that matters has been taken.
    pub(super) fn forget(&mut self, slot: u16) {
        if let Some(request) = self.in_flight.get_mut(usize::from(slot)).filter(|request| request.posted) {
            request.posted = false;
            self.free.push(slot);
        }
    }

    /// Takes token and buffer of some request of a broken device, if there is any left.
    pub(super) fn remove_any(&mut self) -> Option<(Token, Vec<u8>)> {
        let slot = self.in_flight.iter().position(|request| request.posted)?;
        let request = self.in_flight.get_mut(slot)?;
        let taken = (request.token, mem::take(&mut request.returned));
        self.forget(u16::try_from(slot).ok()?);
        Some(taken)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut InFlight> {
        self.in_flight.iter_mut().filter(|request| request.posted)
    }
}
