//! The device tree: a blob from outside in, a typed machine description out.
//!
//! [`guard`] checks the whole blob once, before the `fdt` crate sees it; behind it only that crate's generic
//! reading calls are used, never its typed ones, which panic on trees that are well-formed but unusual.
//! Nor is its `find_node` used with a path: a path that is not there is looked up in `/aliases`, and an
//! alias that names itself recurses for ever. [`early`] answers the few questions of the boot stage, which
//! has no heap. [`machine`] is what the kernel works from; it never looks at a tree again.

mod bridges;
mod cpus;
pub mod early;
mod error;
pub mod guard;
pub mod machine;
mod memory;
mod read;
pub mod rtas;
mod warnings;

pub use bridges::{Bridge, DdwTokens, InterruptMap};
pub use cpus::Cpus;
pub use error::{Block, FdtError};
pub use guard::{Tree, private_copy};
pub use machine::{Machine, MachineError};
pub use rtas::{Rtas, TokenError};
pub use warnings::{Fault, TreeWarning, Warnings};

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]
pub(crate) mod fixtures;
