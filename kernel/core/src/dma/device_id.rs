//! The name of a device.

use core::fmt;

/// A PCI function by its routing number: bus in bits 15..8, device in 7..3, function in 2..0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId(pub u16);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(id) = *self;
        write!(f, "{:02x}:{:02x}.{}", id >> 8, (id >> 3) & 0x1f, id & 7)
    }
}
