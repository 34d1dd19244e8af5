//! A boot test: a name and what it does.

use crate::matrix::fixture::{Context, Failure};

/// What a test does.
pub type Body = Box<dyn Fn(&Context) -> Result<(), Failure> + Send + Sync>;

/// A boot test.
pub struct Test {
    /// Words joined by slashes.
    pub name: String,
    /// What it does.
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
