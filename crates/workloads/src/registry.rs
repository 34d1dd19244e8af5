//! The registry: tests of a machine that run in the guest and say what they found by TAP 13.
//!
//! Here is what needs no machine: the names, what each test requires and shows, which of them `test=` means, and the
//! lines. The tests themselves are in the test image.

pub mod marks;
pub mod requirement;
pub mod select;
pub mod table;
pub mod tap;

pub use requirement::Requirement;
pub use select::{NoSuchTest, Selection};
pub use table::{Entry, TESTS, Test};
