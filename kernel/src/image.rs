//! What an image can add to the kernel.

use crate::devices::set::Devices;
use crate::memory::open::Pool;
use crate::report::Report;
use core::fmt;
use postern_core::cmdline::{Extra, ExtraStep, Options};
use postern_core::outcome::Work;

/// An image's own words of the command line and steps of `run=`.
pub trait Image: Extra {
    /// The image's name, as in the name of its file in `build/`.
    fn name(&self) -> &'static str;

    /// Called when memory is open and every CPU runs, before devices are brought up.
    fn memory_is_open(&mut self, _: Option<&Pool>, _: &mut Report) {}

    /// Runs one of the image's own steps.
    fn run(&mut self, step: ExtraStep, options: &Options, devices: &mut Devices, report: &mut Report)
    -> Work;

    /// Runs tests of its own, which `list` names, for a person at the monitor.
    ///
    /// # Errors
    /// Nothing was run.
    fn test(&mut self, _: &str, _: &Options, _: &mut Devices, _: &mut Report) -> Result<(), NotTested> {
        Err(NotTested::NoTests)
    }
}

/// Why no test was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTested {
    /// The image has none.
    NoTests,
    /// An item of the list, counted from 1, names no test.
    NoSuchTest(usize),
}

impl fmt::Display for NotTested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTests => f.write_str("this image has no tests; postern-test has them"),
            Self::NoSuchTest(number) => {
                write!(f, "item {number} of the list names no test; docs/tests.tsv lists them")
            }
        }
    }
}

/// The product, which a user runs and UV_ESM measures. It adds nothing.
impl Image for () {
    fn name(&self) -> &'static str {
        "postern"
    }

    fn run(&mut self, _: ExtraStep, _: &Options, _: &mut Devices, _: &mut Report) -> Work {
        Work::default()
    }
}
