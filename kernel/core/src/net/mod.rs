//! The network: a virtio-net driver below, ARP, IPv4, ICMP, UDP and TCP by `smoltcp` above, and [`link::Link`]
//! between them, so that each can be run without the other.

mod echo;
mod ingress;
pub mod link;
mod phy;
mod ping;
pub mod settings;
pub mod stack;

#[cfg(test)]
mod tests;
