//! The decisions of the Postern kernel that belong to no library: is this a secure VM, what does the command line ask
//! for, which rights has a page, what does the run come to, and what do the jobs of `run=` do with a disk.
//!
//! No assembly. What touches the machine is behind the traits of [`papr::platform`]. A word from outside (command line,
//! tree, status code) is an allegation until code of this crate has checked it.
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
