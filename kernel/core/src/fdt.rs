//! The device tree: a blob from outside in, a typed machine description out.
//!
//! [`guard`] checks the whole blob once, before the `fdt` crate sees it; behind it only that crate's generic
//! reading calls are used, never its typed ones, which panic on trees that are well-formed but unusual.
//! Nor is its `find_node` used with a path: a path that is not there is looked up in `/aliases`, and an
//! alias that names itself recurses for ever. [`early`] answers the few questions of the boot stage, which
//! has no heap.

pub mod early;
pub mod guard;
#[allow(dead_code, reason = "the machine description reads more")]
mod read;

pub use guard::{FdtError, Tree, private_copy};

#[cfg(test)]
#[allow(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test may fail by panicking"
)]
pub(crate) mod fixtures;
