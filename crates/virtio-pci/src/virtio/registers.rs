//! Offsets in struct virtio_pci_common_cfg (virtio 1.2, 4.1.4.3), each with its width.

use papr::platform::Width;

/// One field of the common configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Common {
    /// Selects the half of the device's features.
    DeviceFeatureSelect,
    /// 32 feature bits offered.
    DeviceFeature,
    /// Selects the half of the driver's features.
    DriverFeatureSelect,
    /// 32 feature bits accepted.
    DriverFeature,
    /// Message vector for changes of the configuration.
    MsixConfig,
    /// Queues that the device has.
    NumQueues,
    /// Device status.
    Status,
    /// Changes whenever the device configuration does.
    ConfigGeneration,
    /// Selects the queue of the fields below.
    QueueSelect,
    /// Descriptors in the queue.
    QueueSize,
    /// Message vector for the queue's completions.
    QueueMsixVector,
    /// 1: the queue is enabled.
    QueueEnable,
    /// Position of the queue's notification register.
    QueueNotifyOff,
    /// Descriptor table, lower half of the address.
    QueueDescLow,
    /// Descriptor table, upper half of the address.
    QueueDescHigh,
    /// Available ring, lower half of the address.
    QueueDriverLow,
    /// Available ring, upper half of the address.
    QueueDriverHigh,
    /// Used ring, lower half of the address.
    QueueDeviceLow,
    /// Used ring, upper half of the address.
    QueueDeviceHigh,
}

impl Common {
    /// Offset and width. Addresses are written in halves, as 4.1.3.1 demands.
    #[must_use]
    pub const fn register(self) -> (u32, Width) {
        match self {
            Self::DeviceFeatureSelect => (0, Width::W32),
            Self::DeviceFeature => (4, Width::W32),
            Self::DriverFeatureSelect => (8, Width::W32),
            Self::DriverFeature => (12, Width::W32),
            Self::MsixConfig => (16, Width::W16),
            Self::NumQueues => (18, Width::W16),
            Self::Status => (20, Width::W8),
            Self::ConfigGeneration => (21, Width::W8),
            Self::QueueSelect => (22, Width::W16),
            Self::QueueSize => (24, Width::W16),
            Self::QueueMsixVector => (26, Width::W16),
            Self::QueueEnable => (28, Width::W16),
            Self::QueueNotifyOff => (30, Width::W16),
            Self::QueueDescLow => (32, Width::W32),
            Self::QueueDescHigh => (36, Width::W32),
            Self::QueueDriverLow => (40, Width::W32),
            Self::QueueDriverHigh => (44, Width::W32),
            Self::QueueDeviceLow => (48, Width::W32),
            Self::QueueDeviceHigh => (52, Width::W32),
        }
    }
}
