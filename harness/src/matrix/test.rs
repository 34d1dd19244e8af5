//! A boot test: a name and a function.

use crate::matrix::fixture::{Context, Failure};

/// A test's function.
pub type Body = Box<dyn Fn(&Context) -> Result<(), Failure> + Send + Sync>;

/// A boot test.
pub struct Test {
    /// Words joined by slashes.
    pub name: String,
    /// Its function.
    pub body: Body,
}

impl Test {
    /// A test.
    pub fn new(
        name: impl Into<String>,
        body: impl Fn(&Context) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), body: Box::new(body) }
    }
}
