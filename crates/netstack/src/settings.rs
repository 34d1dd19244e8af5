//! The IPv4 configuration, and where it comes from.

use super::ingress::is_station;
use core::fmt;
use core::net::Ipv4Addr;
use thiserror::Error;

/// Where the address comes from: `ip=`, `gw=` of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// By DHCP.
    Dhcp,
    /// A static configuration.
    Static(Settings),
}

/// An IPv4 configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The machine's address.
    pub address: Ipv4Addr,
    /// Bits of the address that name the network.
    pub prefix: u8,
    /// The router to everywhere else.
    pub gateway: Option<Ipv4Addr>,
}

/// Why a configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Not an address of one machine, but multicast, broadcast, loopback, or the network's own.
    #[error("{0} cannot be the address of a machine")]
    Address(Ipv4Addr),
    /// Not 1 to 32 bits.
    #[error("/{0} is no prefix of an IPv4 address")]
    Prefix(u8),
    /// Not an address of one machine, the machine's own, or outside of its network.
    #[error("{0} cannot be reached as a gateway")]
    Gateway(Ipv4Addr),
}

impl Settings {
    /// Whether a machine can work with this configuration.
    ///
    /// # Errors
    /// The wrong part.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(1..=32).contains(&self.prefix) {
            return Err(SettingsError::Prefix(self.prefix));
        }
        if !is_station(self.address) || self.is_of_the_network(self.address) {
            return Err(SettingsError::Address(self.address));
        }
        match self.gateway {
            Some(gateway) if !self.can_route_through(gateway) => Err(SettingsError::Gateway(gateway)),
            _ => Ok(()),
        }
    }

    /// Whether `host` is in the machine's network.
    #[must_use]
    pub fn is_local(&self, host: Ipv4Addr) -> bool {
        (host.to_bits() ^ self.address.to_bits()) & self.mask() == 0
    }

    fn can_route_through(&self, gateway: Ipv4Addr) -> bool {
        is_station(gateway)
            && gateway != self.address
            && self.is_local(gateway)
            && !self.is_of_the_network(gateway)
    }

    /// Whether `host` is the broadcast address or the address of the network itself (RFC 1122, section 3.2.1.3). A
    /// network of one or two machines has no such addresses (RFC 3021).
    pub(super) fn is_of_the_network(&self, host: Ipv4Addr) -> bool {
        let part = host.to_bits() & !self.mask();
        self.prefix < 31 && self.is_local(host) && (part == 0 || part == !self.mask())
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(self.prefix))).unwrap_or(0)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        match self.gateway {
            Some(gateway) => write!(f, " via {gateway}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, SettingsError};
    use core::net::Ipv4Addr;

    fn settings(address: [u8; 4], prefix: u8, gateway: Option<[u8; 4]>) -> Settings {
        Settings { address: address.into(), prefix, gateway: gateway.map(Ipv4Addr::from) }
    }

    #[test]
    fn usable_configurations_pass() {
        assert_eq!(settings([10, 0, 2, 15], 24, Some([10, 0, 2, 2])).check(), Ok(()));
        assert_eq!(settings([10, 0, 2, 15], 32, None).check(), Ok(()));
        assert_eq!(settings([10, 0, 2, 1], 31, Some([10, 0, 2, 0])).check(), Ok(()));
        assert_eq!(settings([10, 0, 2, 15], 1, Some([100, 168, 0, 1])).check(), Ok(()));
    }

    #[test]
    fn each_wrong_part_is_named() {
        for bad in [[10, 0, 2, 255], [10, 0, 2, 0], [0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
            assert_eq!(settings(bad, 24, None).check(), Err(SettingsError::Address(bad.into())));
        }
        for prefix in [0, 33, 255] {
            assert_eq!(settings([10, 0, 2, 15], prefix, None).check(), Err(SettingsError::Prefix(prefix)));
        }
        for gateway in [[10, 0, 2, 15], [10, 0, 3, 1], [0; 4], [10, 0, 2, 255], [10, 0, 2, 0], [255; 4]] {
            let error = settings([10, 0, 2, 15], 24, Some(gateway)).check();
            assert_eq!(error, Err(SettingsError::Gateway(gateway.into())));
        }
    }
}
