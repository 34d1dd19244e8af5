//! x
use crate::matrix::runner::Test;
/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    Vec::new()
}
