//! What a driver holds while a device may use its memory.

use super::{DeviceId, DmaError};
use crate::dma::BusAddr;
use crate::pool::Slot;
use crate::tce::Iova;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem::{self, ManuallyDrop};
use core::slice;

/// One contiguous piece of a mapping, as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first byte, as the device addresses it.
    pub bus: BusAddr,
    /// Length in bytes, not 0.
    pub len: u32,
}

/// What a mapping holds. Small, because it moves with each request.
#[derive(Debug)]
pub(super) enum Held {
    /// The device reaches the buffer whether it is mapped or not.
    Nothing,
    /// A slot of the pool, where the buffer's bytes are copied.
    Slot(Slot),
    /// More than one, for a buffer of more than a frame.
    Slots(Box<Pieces>),
    /// Addresses in a window in which each buffer is mapped while it is lent.
    Iova(Iova),
}

/// The pieces of a large buffer, in its order.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) slots: Vec<Slot>,
    pub(super) segments: Vec<Segment>,
}

impl Held {
    /// The slots, in the order of the buffer's bytes.
    pub(super) fn slots(&self) -> &[Slot] {
        match self {
            Self::Slot(slot) => slice::from_ref(slot),
            Self::Slots(pieces) => &pieces.slots,
            Self::Nothing | Self::Iova(_) => &[],
        }
    }

    /// Passes each slot to `slot_ends`.
    #[inline]
    pub(super) fn end(self, mut slot_ends: impl FnMut(Slot)) {
        match self {
            Self::Slot(slot) => slot_ends(slot),
            Self::Slots(pieces) => pieces.slots.into_iter().for_each(slot_ends),
            Self::Nothing | Self::Iova(_) => {}
        }
    }
}

/// A buffer that a device may use until [`Dma::finish`](super::Dma::finish) gives it back. Until then nobody can look
/// at it:
///
/// ```compile_fail,E0616
/// fn peek(mapping: &crate::dma::Mapping) -> &[u8] {
///     &mapping.buffer
/// }
/// ```
///
/// Dropping it leaves the device's access in place, and leaks the buffer and its slots.
#[derive(Debug)]
#[must_use = "a mapping that is dropped is never given back"]
pub struct Mapping {
    pub(super) owner: DeviceId,
    pub(super) device_writes: bool,
    /// The buffer was returned, and its slot is kept for the next one.
    pub(super) kept: bool,
    /// Number of mapped bytes, from the buffer's start.
    pub(super) len: usize,
    /// The only piece, unless there are [`Held::Slots`].
    pub(super) segment: Segment,
    pub(super) held: Held,
    pub(super) buffer: Lent,
}

impl Mapping {
    /// The pieces, in the order of the buffer's bytes.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        match &self.held {
            Held::Slots(pieces) => &pieces.segments,
            _ => slice::from_ref(&self.segment),
        }
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

/// A buffer that was not mapped.
#[derive(Debug)]
pub struct Unmapped {
    /// Why the buffer could not be mapped.
    pub error: DmaError,
    /// The buffer, given back to the caller.
    pub buffer: Vec<u8>,
}

/// Memory that this guest and a device share for a long time. Dropping it leaks the memory, as the device may still use
/// it.
#[derive(Debug)]
#[must_use = "coherent memory that is dropped is never given back"]
pub struct Coherent<M> {
    pub(super) memory: ManuallyDrop<M>,
    /// The address at which the device finds it.
    pub bus: BusAddr,
    pub(super) owner: DeviceId,
    pub(super) slot: Option<Slot>,
    pub(super) iova: Option<Iova>,
}

impl<M> Coherent<M> {
    /// The memory that the device accesses.
    #[inline]
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.memory
    }
}

/// A buffer that a device may use. Nobody can read its bytes meanwhile. Dropping this leaks the memory: the device may
/// still write to it, so it must not be allocated again.
pub(super) struct Lent(ManuallyDrop<Vec<u8>>);

impl Lent {
    /// No buffer.
    pub(super) const NOTHING: Self = Self(ManuallyDrop::new(Vec::new()));

    /// Takes `buffer` and leaves an empty one.
    #[inline]
    pub(super) fn from(buffer: &mut Vec<u8>) -> Self {
        Self(ManuallyDrop::new(mem::take(buffer)))
    }

    /// The first `len` bytes, to be copied for the device: it is not told of the buffer itself.
    #[inline]
    pub(super) fn to_copy(&self, len: usize) -> &[u8] {
        self.0.get(..len).unwrap_or_default()
    }

    /// Returns the buffer. The device does not use it any more, or never could: see [`super::Dma::finish`].
    #[inline]
    pub(super) fn back(&mut self) -> Vec<u8> {
        mem::take(&mut self.0)
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({} bytes)", self.0.len())
    }
}
