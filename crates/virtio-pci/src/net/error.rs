//! Why a virtio-net device is refused, or not used any longer.

use crate::virtio::error::TransportError;
use crate::virtio::ring::QueueError;
use crate::virtio::violation::Violation;
use core::fmt;
use core::time::Duration;
use svm_dma::dma::DmaError;
use thiserror::Error;

/// One of the two queues for frames (virtio 1.2, 5.1.2).
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

/// What is wrong with the control queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    /// The device contradicted what the driver recorded.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The command was not accepted.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The answer's address would wrap.
    #[error("its memory is at the end of all addresses")]
    Address,
    /// Neither VIRTIO_NET_OK nor VIRTIO_NET_ERR (virtio 1.2, 5.1.6.5).
    #[error("status {0:#x} is no answer to a command")]
    Status(u8),
    /// A command was not answered in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Stuck(Duration),
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
    /// The control queue.
    #[error("control queue: {0}")]
    Control(#[from] ControlError),
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
