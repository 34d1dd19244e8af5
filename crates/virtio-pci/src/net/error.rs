//! Why a virtio-net device is refused, or not used any longer.

use crate::virtio::error::TransportError;
use crate::virtio::ring::QueueError;
use crate::virtio::violation::Violation;
use core::fmt;
use core::time::Duration;
use svm_dma::dma::DmaError;

/// One of the two queues (virtio 1.2, 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Queue 0.
    Receive,
    /// Queue 1.
    Transmit,
}

impl Direction {
    /// The queue's number.
    #[must_use]
    pub const fn queue(self) -> u16 {
        match self {
            Self::Receive => 0,
            Self::Transmit => 1,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Receive => "receive queue",
            Self::Transmit => "transmit queue",
        })
    }
}

/// What ended, or kept from starting, the use of a network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// The registers.
    Transport(TransportError),
    /// The device's memory.
    Dma(DmaError),
    /// An MTU with which no network can be used.
    Mtu(u16),
    /// The device completed what it was not given.
    Violation(Direction, Violation),
    /// A chain was not accepted.
    Queue(Direction, QueueError),
    /// A frame was not taken in time.
    TransmitStuck {
        /// How long was waited.
        waited: Duration,
        /// Frames that the device holds.
        held: u16,
    },
    /// The driver was shut down.
    Stopped,
}

impl From<TransportError> for NetError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<DmaError> for NetError {
    fn from(error: DmaError) -> Self {
        Self::Dma(error)
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Dma(error) => error.fmt(f),
            Self::Mtu(mtu) => write!(f, "MTU {mtu} is too small"),
            Self::Violation(queue, violation) => write!(f, "{queue}: {violation}"),
            Self::Queue(queue, error) => write!(f, "{queue}: {error}"),
            Self::TransmitStuck { waited, held } => {
                write!(f, "transmit queue: nothing taken for {} ms, {held} frames held", waited.as_millis())
            }
            Self::Stopped => f.write_str("shut down"),
        }
    }
}

impl core::error::Error for NetError {}
