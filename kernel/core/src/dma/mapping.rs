//! What a driver holds while a device may use its memory.

use super::DeviceId;
use crate::addr::BusAddr;
use crate::pool::{Slot, Slots};
use crate::tce::Iova;
use smallvec::SmallVec;

/// One contiguous piece of a mapping, as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First byte.
    pub bus: BusAddr,
    /// Length in bytes, not 0.
    pub len: u32,
}

pub(super) type Segments = SmallVec<[Segment; 1]>;

/// A buffer that a device may use until [`Dma::unmap`](super::Dma::unmap). Dropping it leaves the device's
/// access in place and what it holds unusable for ever.
#[derive(Debug)]
#[must_use = "a mapping that is dropped is never given back"]
pub struct Mapping {
    pub(super) owner: DeviceId,
    pub(super) device_writes: bool,
    pub(super) len: usize,
    pub(super) segments: Segments,
    pub(super) slots: Slots,
    pub(super) iova: Option<Iova>,
}

impl Mapping {
    /// The pieces, in the order of the buffer's bytes.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes in all segments together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a mapping has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the device writes this buffer; otherwise it reads it.
    #[must_use]
    pub fn device_writes(&self) -> bool {
        self.device_writes
    }
}

/// Memory that this guest and a device both use for long.
#[derive(Debug)]
#[must_use = "coherent memory that is dropped is never given back"]
pub struct Coherent<M> {
    /// The bytes.
    pub memory: M,
    /// Where the device finds them.
    pub bus: BusAddr,
    pub(super) owner: DeviceId,
    pub(super) slot: Option<Slot>,
    pub(super) iova: Option<Iova>,
}
