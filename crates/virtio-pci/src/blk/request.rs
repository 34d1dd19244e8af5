//! Requests in flight: the operation, the buffer, and the words that each request shares with the device.

use crate::blk::error::BlkError;
use alloc::vec::Vec;
use papr::platform::DeviceMemory;
use svm_dma::dma::BusAddr;
use svm_dma::dma::{Coherent, Mapping};

/// Names a request from submission to completion. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u64);

impl Token {
    /// The request's number, counted from the driver's first.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Kinds of request (virtio 1.2, 5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// VIRTIO_BLK_T_IN.
    Read = 0,
    /// VIRTIO_BLK_T_OUT.
    Write = 1,
    /// VIRTIO_BLK_T_FLUSH.
    Flush = 4,
    /// VIRTIO_BLK_T_GET_ID.
    GetId = 8,
    /// VIRTIO_BLK_T_DISCARD.
    Discard = 11,
    /// VIRTIO_BLK_T_WRITE_ZEROES.
    WriteZeroes = 13,
}

impl Operation {
    /// Whether the device writes the request's buffer.
    pub(super) fn device_writes(self) -> bool {
        matches!(self, Self::Read | Self::GetId)
    }
}

/// A completed request.
#[derive(Debug)]
pub struct Completion {
    /// The token that the submission returned.
    pub token: Token,
    /// Whether it succeeded.
    pub result: Result<(), BlkError>,
    /// The buffer that was submitted: after a read that succeeded its new content, after one that failed zeros. Empty
    /// if the device may still use it: such a buffer stays out of use until a reset is confirmed.
    pub buffer: Vec<u8>,
}

/// A request in flight, in the queue's list of payloads.
#[derive(Debug)]
pub(super) struct Request {
    /// `None`: no request.
    pub(super) token: Option<Token>,
    pub(super) operation: Operation,
    /// Holds the buffer.
    pub(super) mapping: Option<Mapping>,
    /// The buffer that a broken device gave back.
    pub(super) returned: Vec<u8>,
}

impl Default for Request {
    fn default() -> Self {
        Self { token: None, operation: Operation::Flush, mapping: None, returned: Vec::new() }
    }
}

/// Bytes per request: 16 of header, 1 of status, 15 unused.
const STRIDE: usize = 32;
const STATUS_AT: usize = 16;
/// Bytes of a header.
pub(super) const HEADER_BYTES: u32 = 16;
/// The status byte before the device answers; not a status of virtio.
const NO_STATUS: u32 = 0xff;

/// The headers and status bytes of requests, by the heads of their chains, in memory that the device can write at any time.
#[derive(Debug)]
pub(super) struct Table<D>(pub(super) Coherent<D>);

impl<D: DeviceMemory> Table<D> {
    /// Bytes for a queue of `size` descriptors.
    pub(super) fn bytes(size: u16) -> usize {
        usize::from(size).saturating_mul(STRIDE)
    }

    /// Writes a header and an undefined status byte; returns their bus addresses.
    pub(super) fn prepare(&self, head: u16, operation: Operation, sector: u64) -> Option<[BusAddr; 2]> {
        let at = usize::from(head).checked_mul(STRIDE)?;
        let status = at.checked_add(STATUS_AT)?;
        let Self(coherent) = self;
        let (memory, bus) = (coherent.memory(), coherent.bus);
        memory.store_pair(at, [operation as u64, sector]);
        memory.store32(status, NO_STATUS);
        let bus = |offset: usize| -> Option<BusAddr> { bus.checked_add(u64::try_from(offset).ok()?) };
        Some([bus(at)?, bus(status)?])
    }

    /// Reads the status byte, once.
    pub(super) fn status(&self, head: u16) -> u8 {
        let at = usize::from(head).saturating_mul(STRIDE).saturating_add(STATUS_AT);
        let [status, ..] = self.0.memory().load32(at).to_le_bytes();
        status
    }
}
