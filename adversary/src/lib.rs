//! Devices as a secure guest meets them on hardware: vhost-user servers in a process of their own, which see only the
//! guest memory that the guest shared, and which violate the protocol when told to.
//!
//! A server asks its [gate](gate::Gate) before every access, to rings, descriptors and data alike. A refused access reads
//! noise or writes nothing, and is recorded in the [ledger](ledger::Ledger).

pub mod blk;
pub mod cable;
pub mod chain;
pub mod cut;
pub mod disk_fault;
pub mod gate;
pub mod hold;
mod iotlb;
pub mod ledger;
pub mod memory;
mod message;
mod names;
pub mod net;
pub mod noise;
mod relay;
pub mod ring;
mod ring_state;
pub mod server;
pub mod violation;
pub mod wire;
