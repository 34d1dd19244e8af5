//! The registry: tests of a machine that run in the guest and report by TAP 13.
//!
//! This module has the parts that need no machine: the names, requirements and meanings of the tests, the selection by
//! `test=`, and the output lines. The tests themselves are in the test image.

pub mod marks;
pub mod requirement;
pub mod select;
pub mod table;
pub mod tap;

pub use requirement::Requirement;
pub use select::{NoSuchTest, Selection};
pub use table::{Entry, TESTS, Test};
