//! The network: a virtio-net driver below, ARP, IPv4, ICMP, UDP and TCP by `smoltcp` above, and [`link::Link`]
//! between them, so that each can be run without the other.

pub mod driver;
pub mod error;
pub mod features;
mod in_flight;
pub mod link;
mod queue;
mod rx;
pub mod statistics;
mod tx;
