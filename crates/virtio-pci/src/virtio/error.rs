//! Why a virtio device is refused, or not used any longer.

use crate::virtio::registers::Common;
use papr::hcall::HcallError;
use svm_dma::dma::DmaError;
use thiserror::Error;

/// Why a register access or the set-up of a device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// The hypervisor refused a register access.
    #[error("register access: {0}")]
    Mmio(#[from] HcallError),
    /// Registers read as all ones.
    #[error("device gone: registers read as all ones")]
    Gone,
    /// The device did not reset in time; its status as read last.
    #[error("no reset, status stays {0:#x}")]
    NoReset(u8),
    /// VERSION_1 is not among the features offered.
    #[error("VERSION_1 not offered, legacy only ({0:#x})")]
    NotModern(u64),
    /// FEATURES_OK did not stay set for these features.
    #[error("device refused features {0:#x}")]
    FeaturesRefused(u64),
    /// DEVICE_NEEDS_RESET is set.
    #[error("device needs a reset")]
    NeedsReset,
    /// The status is not the one that the driver set.
    #[error("status {set:#x} became {found:#x}")]
    StatusLost {
        /// Status that the driver set.
        set: u8,
        /// Value that was read.
        found: u8,
    },
    /// The device has no such queue.
    #[error("no queue {0}")]
    NoQueue(u16),
    /// A queue size that is no power of two, or was not taken.
    #[error("queue {queue}: size {size}")]
    QueueSize {
        /// Number of the queue.
        queue: u16,
        /// Value that was read.
        size: u16,
    },
    /// The queue was enabled before it was set up.
    #[error("queue {0} in use before set-up")]
    QueueInUse(u16),
    /// The queue did not become enabled.
    #[error("queue {0} cannot be enabled")]
    QueueNotTaken(u16),
    /// A queue's notification register is outside the notification structure.
    #[error("queue {queue}: notification {position} is outside the structure")]
    NotifyOutside {
        /// Number of the queue.
        queue: u16,
        /// queue_notify_off as read.
        position: u16,
    },
    /// The device configuration changed during each attempt to read it.
    #[error("device configuration keeps changing")]
    ConfigUnstable,
    /// The device configuration ends before this offset.
    #[error("device configuration has no field at {0:#x}")]
    NoConfig(u32),
    /// The common configuration ends before this field.
    #[error("common configuration has no {0:?}")]
    NoRegister(Common),
    /// No memory for a queue.
    #[error("{0}")]
    Dma(DmaError),
}
