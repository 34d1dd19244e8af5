//! Device types and feature bits.

use crate::pci::functions::{Function, Header};
use bitflags::bitflags;
use core::fmt;

/// PCI vendor of virtio devices (virtio 1.2, 4.1.2).
pub const VENDOR: u16 = 0x1af4;
const MODERN_BASE: u16 = 0x1040;

/// The virtio devices that this kernel drives (virtio 1.2, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceType {
    /// virtio-net (5.1).
    Net,
    /// virtio-blk (5.2).
    Block,
    /// virtio-rng (5.4).
    Entropy,
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Net => "virtio-net",
            Self::Block => "virtio-blk",
            Self::Entropy => "virtio-rng",
        })
    }
}

impl DeviceType {
    /// The virtio device type of a function; `None` if there is no driver for it here. IDs of transitional devices
    /// count: their capabilities say whether they have the modern interface.
    #[must_use]
    pub fn of(function: &Function) -> Option<Self> {
        const MODERN_NET: u16 = MODERN_BASE + 1;
        const MODERN_BLOCK: u16 = MODERN_BASE + 2;
        const MODERN_ENTROPY: u16 = MODERN_BASE + 4;
        if function.header != Header::Endpoint {
            return None;
        }
        match (function.vendor, function.device) {
            (VENDOR, MODERN_NET | 0x1000) => Some(Self::Net),
            (VENDOR, MODERN_BLOCK | 0x1001) => Some(Self::Block),
            (VENDOR, MODERN_ENTROPY | 0x1005) => Some(Self::Entropy),
            _ => None,
        }
    }
}

/// Whether a function is a virtio-iommu (virtio 1.2, 5.13): it translates the addresses of the devices behind its host
/// bridge, in the place of the platform's tables.
#[must_use]
pub fn is_iommu(function: &Function) -> bool {
    const MODERN_IOMMU: u16 = MODERN_BASE + 23;
    function.header == Header::Endpoint && (function.vendor, function.device) == (VENDOR, MODERN_IOMMU)
}

bitflags! {
    /// Feature bits that are the same for every device (virtio 1.2, section 6). Bits 23..0 belong to the
    /// device type: see the driver's own constants.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Features: u64 {
        /// VIRTIO_RING_F_EVENT_IDX: driver and device name the index of their next notification.
        const EVENT_IDX = 1 << 29;
        /// VIRTIO_F_VERSION_1: the device has the modern interface.
        const VERSION_1 = 1 << 32;
        /// VIRTIO_F_ACCESS_PLATFORM: the device uses translated addresses.
        const ACCESS_PLATFORM = 1 << 33;
        const _ = !0;
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.bits())
    }
}

bitflags! {
    /// Device status bits (virtio 1.2, section 2.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Status: u8 {
        /// The driver has noticed the device.
        const ACKNOWLEDGE = 1;
        /// The driver knows how to drive the device.
        const DRIVER = 2;
        /// The driver is set up.
        const DRIVER_OK = 4;
        /// Features are agreed on.
        const FEATURES_OK = 8;
        /// The device needs a reset.
        const NEEDS_RESET = 64;
        /// The driver has given up.
        const FAILED = 128;
        const _ = !0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use papr::device_id::DeviceId;

    #[test]
    fn modern_and_transitional_ids_are_known_and_no_others() {
        let at = DeviceId::new(0, 0, 1, 0).unwrap();
        let mut function = Function {
            at,
            behind: None,
            vendor: VENDOR,
            device: 0,
            subsystem: 0,
            class: 0,
            revision: 0,
            header: Header::Endpoint,
        };
        for (device, expected) in [
            (0x1041, Some(DeviceType::Net)),
            (0x1000, Some(DeviceType::Net)),
            (0x1042, Some(DeviceType::Block)),
            (0x1001, Some(DeviceType::Block)),
            (0x1044, Some(DeviceType::Entropy)),
            (0x1005, Some(DeviceType::Entropy)),
            (0x1045, None),
            (0x1048, None),
            (0x1002, None),
        ] {
            function.device = device;
            assert_eq!(DeviceType::of(&function), expected, "{device:#x}");
        }
        function.header = Header::Bridge;
        function.device = 0x1041;
        assert_eq!(DeviceType::of(&function), None, "a bridge with a disk's number");
        function.header = Header::Endpoint;
        function.vendor = 0x8086;
        function.device = 0x1041;
        assert_eq!(DeviceType::of(&function), None);
    }

    #[test]
    fn a_virtio_iommu_is_known_by_vendor_device_and_header() {
        let iommu = Function {
            at: DeviceId::new(0, 0, 1, 0).unwrap(),
            behind: None,
            vendor: VENDOR,
            device: 0x1057,
            subsystem: 0,
            class: 0,
            revision: 0,
            header: Header::Endpoint,
        };
        assert!(is_iommu(&iommu));
        for other in [
            Function { vendor: 0x8086, ..iommu },
            Function { device: 0x1042, ..iommu },
            Function { header: Header::Bridge, ..iommu },
        ] {
            assert!(!is_iommu(&other), "{other:?}");
        }
    }
}
