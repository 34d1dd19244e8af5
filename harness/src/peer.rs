//! The other end of the guest's network: a host process that sends data and checks the answers.

pub mod cable_peer;
pub mod echo;
pub mod flood;
pub mod frames;
pub mod namespace;
pub mod page;
pub mod wire;
