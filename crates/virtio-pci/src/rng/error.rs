//! Why a device gives no random bytes.

use crate::virtio::error::TransportError;
use crate::virtio::ring::QueueError;
use crate::virtio::violation::Violation;
use svm_dma::dma::DmaError;
use thiserror::Error;

/// Why there are no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RngError {
    /// A register access or the set-up failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The device contradicted what this kernel recorded.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The buffer could not be mapped for the device.
    #[error("{0}")]
    Dma(#[from] DmaError),
    /// The queue refused the buffer.
    #[error("{0}")]
    Queue(#[from] QueueError),
    /// The request was not answered in time.
    #[error("no answer in time")]
    Timeout,
    /// The request was answered with no byte (virtio 1.2, 5.4.6.2: at least one).
    #[error("answered with no byte")]
    Nothing,
}
