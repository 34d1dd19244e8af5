//! The network against models: a wire, a peer with sockets of its own, a DHCP server.

mod echo;
mod hostile_frames;
mod peer;
mod stack;
mod wire;
