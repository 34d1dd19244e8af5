//! ARP, IPv4, ICMP, UDP, TCP and DHCP by `smoltcp` over any [`virtio_pci::net::link::Link`], for a guest whose network is
//! hostile: frames are checked before `smoltcp` sees them, sequence numbers follow RFC 6528, ids and ports come from a
//! keyed generator.
//!
//! It serves echo, discard and chargen-like streams, and pings. It has no IPv6, no routing, and no sockets for others.
//!
//! ```
//! use netstack::settings::Settings;
//! use std::net::Ipv4Addr;
//! // A gateway that is not on the link is refused before anything is sent.
//! let gateway = Some(Ipv4Addr::new(192, 0, 2, 1));
//! let settings = Settings { address: Ipv4Addr::new(10, 0, 2, 15), prefix: 24, gateway };
//! assert!(settings.check().is_err());
//! ```
#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "a test that overflows fails, which is what it is for"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod checksum;
pub mod dhcp;
mod dhcp_options;
pub mod echo;
mod ingress;
mod isn;
mod listeners;
pub mod one_way;
mod phy;
mod ping;
pub mod random;
pub mod settings;
mod sockets;
pub mod stack;
mod stack_error;
mod stack_time;
