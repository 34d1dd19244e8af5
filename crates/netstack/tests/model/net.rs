//! The network against models: a wire, a peer with sockets of its own, a DHCP server.

mod announcement;
mod dhcp;
mod echo;
mod exchange;
mod fragments;
mod half_open;
mod hostile_device;
pub mod hostile_frames;
mod hostile_segments;
mod paces;
mod requests;
mod secrets;
mod stack;
mod whole_path;
