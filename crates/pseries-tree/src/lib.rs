//! The device tree of a pseries guest: checks a flattened tree from an untrusted host, and returns a typed description
//! of the machine.
//!
//! [`guard`] checks the whole blob once, before the `fdt` crate sees it; behind it only that crate's generic
//! reading calls are used, never its typed ones, which panic on trees that are well-formed but unusual.
//! Nor is its `find_node` used with a path: a path that is not there is looked up in `/aliases`, and an
//! alias that names itself recurses for ever. [`early`] answers the few questions of the boot stage, which
//! has no heap. [`machine`] is what the kernel works from; it never looks at a tree again.
//!
//! It refuses trees that two readers could understand differently, and names each oddity that it leaves out. It writes
//! no tree, and knows only the nodes that a pseries guest needs.
//!
//! ```
//! use pseries_tree::{FdtError, Tree};
//! // Nothing is read of a blob that is no tree.
//! assert!(matches!(Tree::check(&[0; 64]), Err(FdtError::Magic(0))));
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

mod blocks;
mod bridges;
mod cpus;
pub mod early;
mod error;
pub mod guard;
pub mod machine;
mod machine_error;
mod memory;
mod read;
pub mod rtas;
mod warnings;

pub use bridges::{Bridge, DdwTokens, InterruptMap};
pub use cpus::Cpus;
pub use error::{Block, FdtError};
pub use guard::{Tree, private_copy};
pub use machine::{Machine, VirtualDevice};
pub use machine_error::{MachineError, TokenError};
pub use rtas::Rtas;
pub use warnings::{Fault, TreeWarning, Warnings};
