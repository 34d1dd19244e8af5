//! The identity of a device: in config space, in the pool, in facts and in errors.

use core::fmt;

/// A PCI function of the whole machine: its host bridge, bus, device and function.
///
/// Two functions with the same bus, device and function behind two host bridges are two devices. Written as
/// Linux writes it, `0001:00:02.0`: the host bridge's domain, bus, device (all in hexadecimal) and function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    domain: u16,
    /// Bus in bits 15..8, device in 7..3, function in 2..0.
    routing: u16,
}

impl DeviceId {
    /// The function; `None` unless `device` is below 32 and `function` below 8.
    #[must_use]
    pub const fn new(domain: u16, bus: u8, device: u8, function: u8) -> Option<Self> {
        if device >= 32 || function >= 8 {
            return None;
        }
        Some(Self { domain, routing: u16::from_be_bytes([bus, device << 3 | function]) })
    }

    /// The function with this routing ID on the buses of `domain`: bus in bits 15..8, device in 7..3, function in 2..0.
    #[must_use]
    pub const fn from_routing(domain: u16, routing: u16) -> Self {
        Self { domain, routing }
    }

    /// The number of the host bridge: see `pseries_tree::Bridge::domain`.
    #[must_use]
    pub const fn domain(self) -> u16 {
        self.domain
    }

    /// The bus number, 0..=255.
    #[must_use]
    pub const fn bus(self) -> u8 {
        let [bus, _] = self.routing.to_be_bytes();
        bus
    }

    /// The device number on its bus, 0..=31.
    #[must_use]
    pub const fn device(self) -> u8 {
        let [_, low] = self.routing.to_be_bytes();
        low >> 3
    }

    /// The function number in its device, 0..=7.
    #[must_use]
    pub const fn function(self) -> u8 {
        let [_, low] = self.routing.to_be_bytes();
        low & 7
    }

    /// The config_addr argument of RTAS calls (PAPR+ 7.3.5): bus, device and function in bits 23..8, the
    /// register in bits 7..0, its extension (bits 11..8 of the register) in bits 31..28. The host bridge is an
    /// argument of its own.
    #[must_use]
    pub const fn config_addr(self, register: u16) -> u32 {
        let (register, routing) = (register as u32, self.routing as u32);
        (register & 0xf00) << 20 | routing << 8 | register & 0xff
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.domain, self.bus(), self.device(), self.function())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn ids_are_bounded_and_encoded_as_rtas_wants() {
        assert_eq!(DeviceId::new(0, 0, 32, 0), None);
        assert_eq!(DeviceId::new(0, 0, 0, 8), None);
        let at = DeviceId::new(7, 1, 2, 3).unwrap();
        assert_eq!((at.domain(), at.bus(), at.device(), at.function()), (7, 1, 2, 3));
        assert_eq!(at.config_addr(0x10), 0x0001_1310);
        assert_eq!(at.config_addr(0x123), 0x1001_1323);
        assert_eq!(DeviceId::from_routing(7, 0x0113), at);
    }

    #[test]
    fn same_place_behind_two_host_bridges_is_two_devices() {
        let [first, second] = [0, 1].map(|domain| DeviceId::new(domain, 0, 1, 0).unwrap());
        assert_ne!(first, second);
        assert_eq!([format!("{first}"), format!("{second}")], ["0000:00:01.0", "0001:00:01.0"]);
    }
}
