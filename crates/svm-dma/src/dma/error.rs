//! Why a buffer did not become reachable for a device.

use super::DeviceId;
use crate::pool::PoolExhausted;
use crate::tce::TceError;
use papr::addr::Gpa;
use papr::lock::Stuck;
use thiserror::Error;

/// A request for DMA that failed. No memory has become reachable by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DmaError {
    /// No room in the shared pool.
    #[error(transparent)]
    Pool(#[from] PoolExhausted),
    /// The buffer has no bytes.
    #[error("a buffer of no bytes")]
    Empty,
    /// Longer than one mapping or one piece of coherent memory may be.
    #[error("{len} bytes are more than the {max} possible at once")]
    TooLong {
        /// Bytes that were asked for.
        len: usize,
        /// Most bytes that one mapping can have.
        max: usize,
    },
    /// No private memory left for the device to use in place.
    #[error("no memory: device {device} wants {want} bytes")]
    NoMemory {
        /// The device that asked.
        device: DeviceId,
        /// Bytes that were asked for.
        want: usize,
    },
    /// The memory lies outside what the window maps.
    #[error("memory at {:#x}+{len:#x} is outside the TCE window's mapping", .gpa.0)]
    Unreachable {
        /// Guest physical address of the first byte.
        gpa: Gpa,
        /// Length in bytes.
        len: u64,
    },
    /// The device wants translated addresses and its host bridge has no usable window.
    #[error("device {0} needs a TCE window and there is none")]
    NoWindow(DeviceId),
    /// The host bridge's window was set up for the other mode.
    #[error("the TCE window of device {0} was set up for another mode")]
    WrongWindow(DeviceId),
    /// The window could not be used.
    #[error(transparent)]
    Tce(#[from] TceError),
    /// Another CPU does not release the pool's lock.
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

impl DmaError {
    /// Whether other buffers use the pool or the window up: there is room again when they are returned.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        matches!(self, Self::Pool(_) | Self::Tce(TceError::NoRoom { .. }))
    }
}
