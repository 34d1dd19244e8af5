//! Why a virtio-net device is refused, or not used any longer.

use crate::virtio::error::TransportError;
use crate::virtio::ring::QueueError;
use crate::virtio::violation::Violation;
use core::fmt;
use core::time::Duration;
use svm_dma::dma::DmaError;
use thiserror::Error;

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

/// Why a network device is not used, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NetError {
    /// A register access or the set-up failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Memory for the device could not be mapped.
    #[error(transparent)]
    Dma(#[from] DmaError),
    /// An MTU below [`super::features::MIN_MTU`].
    #[error("MTU {0} is too small")]
    Mtu(u16),
    /// The device contradicted what the driver recorded.
    #[error("{0}: {1}")]
    Violation(Direction, Violation),
    /// A chain was not accepted.
    #[error("{0}: {1}")]
    Queue(Direction, QueueError),
    /// A frame was not taken in time.
    #[error("transmit queue: nothing taken for {} ms, {held} frames held", .waited.as_millis())]
    TransmitStuck {
        /// How long the driver waited.
        waited: Duration,
        /// Frames that the device holds.
        held: u16,
    },
    /// The driver was shut down.
    #[error("shut down")]
    Stopped,
}
