//! Why a virtio device is refused, or not used any longer.

use crate::virtio::registers::Common;
use core::fmt;
use papr::hcall::HcallError;
use svm_dma::dma::DmaError;

/// What went wrong between this kernel and a device's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The hypervisor refused a register access.
    Mmio(HcallError),
    /// Registers read as all ones.
    Gone,
    /// The device did not reset in time; its status as read last.
    NoReset(u8),
    /// VERSION_1 is not among the features offered.
    NotModern(u64),
    /// FEATURES_OK did not stay set for these features.
    FeaturesRefused(u64),
    /// DEVICE_NEEDS_RESET.
    NeedsReset,
    /// The status is not what the driver made it.
    StatusLost {
        /// As set.
        set: u8,
        /// As read.
        found: u8,
    },
    /// The device has no such queue.
    NoQueue(u16),
    /// A queue size that is no power of two, or was not taken.
    QueueSize {
        /// Which queue.
        queue: u16,
        /// As read.
        size: u16,
    },
    /// The queue was on before it was set up.
    QueueInUse(u16),
    /// The queue did not go on.
    QueueNotTaken(u16),
    /// A queue's notification register is outside the notification structure.
    NotifyOutside {
        /// Which queue.
        queue: u16,
        /// queue_notify_off as read.
        position: u16,
    },
    /// The device configuration changed during each try to read it.
    ConfigUnstable,
    /// The device configuration does not reach to this offset.
    NoConfig(u32),
    /// The common configuration does not reach to this field.
    NoRegister(Common),
    /// No memory for a queue.
    Dma(DmaError),
}

impl From<HcallError> for TransportError {
    fn from(error: HcallError) -> Self {
        Self::Mmio(error)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mmio(error) => write!(f, "register access: {error}"),
            Self::Gone => f.write_str("device gone: registers read as all ones"),
            Self::NoReset(status) => write!(f, "no reset, status stays {status:#x}"),
            Self::NotModern(offered) => write!(f, "VERSION_1 not offered, legacy only ({offered:#x})"),
            Self::FeaturesRefused(accepted) => write!(f, "device refused features {accepted:#x}"),
            Self::NeedsReset => f.write_str("device needs a reset"),
            Self::StatusLost { set, found } => write!(f, "status {set:#x} became {found:#x}"),
            Self::NoQueue(queue) => write!(f, "no queue {queue}"),
            Self::QueueSize { queue, size } => write!(f, "queue {queue}: size {size}"),
            Self::QueueInUse(queue) => write!(f, "queue {queue} in use before set-up"),
            Self::QueueNotTaken(queue) => write!(f, "queue {queue} cannot be enabled"),
            Self::NotifyOutside { queue, position } => {
                write!(f, "queue {queue}: notification {position} is outside the structure")
            }
            Self::ConfigUnstable => f.write_str("device configuration keeps changing"),
            Self::NoConfig(offset) => write!(f, "device configuration has no field at {offset:#x}"),
            Self::NoRegister(field) => write!(f, "common configuration has no {field:?}"),
            Self::Dma(error) => error.fmt(f),
        }
    }
}
