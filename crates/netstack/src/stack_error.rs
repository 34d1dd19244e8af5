//! Why the network does not do what was asked.

use super::dhcp::LeaseError;
use super::settings::SettingsError;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use virtio_pci::net::features::MIN_MTU;
use virtio_pci::net::link::MacAddr;

/// Why the network does not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StackError<E> {
    /// The link is gone.
    Link(E),
    /// The device's address is not one of a station.
    Mac(MacAddr),
    /// The link's largest packet is smaller than [`MIN_MTU`].
    Mtu(u16),
    /// The configuration asked for cannot work.
    Settings(SettingsError),
    /// No usable lease within the time.
    NoLease {
        /// How long the stack waited.
        waited: Duration,
        /// Whether the link was up at the end.
        link_up: bool,
        /// Why the last lease was refused, if there was one.
        refused: Option<LeaseError>,
    },
    /// The machine has no address yet.
    NotConfigured,
    /// Neither in the machine's network nor behind a gateway.
    NoRoute(Ipv4Addr),
    /// A peer refused a connection, or broke it off.
    NotConnected(SocketAddrV4),
    /// No answer within the time.
    NoAnswer {
        /// The host that was pinged.
        host: Ipv4Addr,
        /// How long the stack waited.
        waited: Duration,
        /// Whether the request was sent, which needs the next hop's hardware address.
        sent: bool,
    },
}

impl<E: fmt::Display> fmt::Display for StackError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => write!(f, "network device: {error}"),
            Self::Mac(mac) => write!(f, "{mac} is not the address of a station"),
            Self::Mtu(mtu) => write!(f, "MTU {mtu} is below {MIN_MTU}"),
            Self::Settings(error) => error.fmt(f),
            Self::NoLease { waited, link_up, refused } => {
                write!(f, "no DHCP lease within {} ms", waited.as_millis())?;
                match (refused, link_up) {
                    (Some(error), _) => write!(f, ": {error}"),
                    (None, false) => f.write_str(": the link is down"),
                    (None, true) => Ok(()),
                }
            }
            Self::NotConfigured => f.write_str("no IPv4 address is configured"),
            Self::NoRoute(host) => write!(f, "no route to {host}"),
            Self::NotConnected(peer) => write!(f, "no connection to {peer}: refused or broken off"),
            Self::NoAnswer { host, waited, sent } => {
                let why = if *sent { "" } else { ": its hardware address is unknown" };
                write!(f, "no answer from {host} within {} ms{why}", waited.as_millis())
            }
        }
    }
}
