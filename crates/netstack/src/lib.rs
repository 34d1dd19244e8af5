#![doc = include_str!("../README.md")]
//!
//! **Modules.** [`stack`] is the stack; [`service`] and [`requests`] add services to it; [`settings`] and [`dhcp`]
//! are its address; [`random`] makes its numbers.
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

mod announcement;
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
mod services;
pub mod settings;
mod sockets;
pub mod stack;
mod stack_error;
mod stack_time;
mod udp_queue;

pub use smoltcp;
