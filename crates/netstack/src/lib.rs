//! ARP, IPv4, ICMP, UDP, TCP and DHCP by `smoltcp` over any [`virtio_pci::net::link::Link`], for a guest whose network is
//! hostile: frames are checked before `smoltcp` sees them, sequence numbers follow RFC 6528, ids and ports come from a
//! keyed generator.
//!
//! It serves echo, discard and chargen-like streams, and pings. It has no IPv6, no routing, and no sockets for others.
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
