//! Why a buffer did not become reachable for a device.

use super::DeviceId;
use crate::pool::PoolExhausted;
use crate::tce::TceError;
use core::fmt;
use papr::addr::Gpa;
use papr::lock::Stuck;

/// A request for DMA that failed. No memory has become reachable by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaError {
    /// No room in the shared pool.
    Pool(PoolExhausted),
    /// A buffer of no bytes.
    Empty,
    /// Longer than one mapping or one piece of coherent memory may be.
    TooLong {
        /// Bytes asked for.
        len: usize,
        /// Most bytes possible.
        max: usize,
    },
    /// No private memory left for the device to use in place.
    NoMemory {
        /// Who asked.
        device: DeviceId,
        /// Bytes asked for.
        want: usize,
    },
    /// The memory lies outside what the window maps.
    Unreachable {
        /// First byte.
        gpa: Gpa,
        /// Bytes from there on.
        len: u64,
    },
    /// The device wants translated addresses and its host bridge has no usable window.
    NoWindow(DeviceId),
    /// The host bridge's window was set up for the other mode.
    WrongWindow(DeviceId),
    /// The window could not be used.
    Tce(TceError),
    /// Another CPU stands still with the pool.
    Stuck(Stuck),
}

impl From<Stuck> for DmaError {
    fn from(stuck: Stuck) -> Self {
        Self::Stuck(stuck)
    }
}

impl DmaError {
    /// Whether pool or window are in use by other buffers: there is room again when those are given back.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        matches!(self, Self::Pool(_) | Self::Tce(TceError::NoRoom { .. }))
    }
}

impl From<PoolExhausted> for DmaError {
    fn from(exhausted: PoolExhausted) -> Self {
        Self::Pool(exhausted)
    }
}

impl From<TceError> for DmaError {
    fn from(error: TceError) -> Self {
        Self::Tce(error)
    }
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(exhausted) => exhausted.fmt(f),
            Self::Empty => f.write_str("a buffer of no bytes"),
            Self::TooLong { len, max } => write!(f, "{len} bytes are more than the {max} possible at once"),
            Self::NoMemory { device, want } => write!(f, "no memory: device {device} wants {want} bytes"),
            Self::Unreachable { gpa, len } => {
                write!(f, "memory at {:#x}+{len:#x} is outside the TCE window's mapping", gpa.0)
            }
            Self::NoWindow(device) => write!(f, "device {device} needs a TCE window and there is none"),
            Self::WrongWindow(device) => {
                write!(f, "the TCE window of device {device} was set up for another mode")
            }
            Self::Tce(error) => error.fmt(f),
            Self::Stuck(stuck) => stuck.fmt(f),
        }
    }
}

impl core::error::Error for DmaError {}
