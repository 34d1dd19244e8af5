//! The network: a virtio-net driver below, ARP, IPv4, ICMP, UDP and TCP by `smoltcp` above, and [`link::Link`]
//! between them, so that each can be run without the other.

mod checksum;
pub mod dhcp;
mod dhcp_options;
pub mod driver;
mod echo;
pub mod error;
pub mod features;
mod ingress;
mod isn;
mod lane;
pub mod link;
mod listeners;
pub mod one_way;
mod order;
mod phy;
mod ping;
mod rx;
pub mod settings;
mod sockets;
pub mod stack;
mod stack_error;
mod stack_time;
pub mod statistics;
mod tx;

#[cfg(test)]
mod tests;
