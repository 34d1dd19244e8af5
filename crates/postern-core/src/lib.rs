//! The decisions of the Postern kernel that belong to no other library: whether this is a secure VM, what the command
//! line asks for, which rights a page has, how a run ends, and what the disk jobs of `run=` do.
//!
//! No assembly: the machine is behind the traits of [`papr::platform`]. Input from outside (command line, tree, status
//! codes) is untrusted until code of this crate has validated it.
//!
//! ```
//! // A word that nobody knows is refused by name.
//! let parsed = postern_core::cmdline::parse(b"run=demo pol=8M");
//! assert_eq!(parsed.errors.len(), 1);
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

pub mod cmdline;
pub mod dcbz;
pub mod disk;
pub mod entropy;
pub mod exit;
pub mod facts;
pub mod mailbox;
pub mod monitor;
pub mod nmi;
pub mod outcome;
pub mod radix;
pub mod secure;
pub mod vsx;
pub mod watch;
