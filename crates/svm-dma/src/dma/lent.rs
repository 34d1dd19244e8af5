//! A buffer while a device may use it.

use alloc::vec::Vec;
use core::fmt;
use core::mem::{self, ManuallyDrop};

/// A buffer that a device may use. Nobody can look at its bytes meanwhile. Dropping this keeps the memory for ever:
/// nobody has said that the device lets go of it, and memory that was freed would serve for something else.
pub(super) struct Lent(ManuallyDrop<Vec<u8>>);

impl Lent {
    /// No memory.
    pub(super) const NOTHING: Self = Self(ManuallyDrop::new(Vec::new()));

    /// Takes `buffer` from its owner, who has an empty one then.
    #[inline]
    pub(super) fn from(buffer: &mut Vec<u8>) -> Self {
        Self(ManuallyDrop::new(mem::take(buffer)))
    }

    /// The first `len` bytes, to be copied for the device: it is not told of the buffer itself.
    #[inline]
    pub(super) fn to_copy(&self, len: usize) -> &[u8] {
        self.0.get(..len).unwrap_or_default()
    }

    /// The buffer. The device does not use it any more, or never could: see [`super::Dma::finish`].
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
