//! ARP, IPv4, ICMP, UDP, TCP and DHCP by `smoltcp` over any [`virtio_pci::net::link::Link`], for a guest whose network is
//! hostile: frames are checked before `smoltcp` sees them, sequence numbers follow RFC 6528, ids and ports come from a
//! keyed generator.
//!
//! It answers ARP and ping, serves echo on port 7, asks for an address by DHCP and sends pings. Other services are added
//! through [`service::Service`]; a service of one request and one answer for each connection, such as a page, only needs
//! somebody who answers ([`requests`]). It has no IPv6, no routing, and no fragments but those of pings.
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
mod fragments;
mod ingress;
mod isn;
mod lease;
mod link_state;
mod listeners;
mod phy;
mod ping;
pub mod random;
pub mod requests;
pub mod service;
pub mod settings;
mod sockets;
pub mod stack;
mod stack_error;
mod stack_time;
mod udp_queue;

pub use smoltcp;
