//! What images have of their own.

use crate::devices::set::Devices;
use crate::memory::open::Pool;
use crate::report::Report;
use postern_core::cmdline::{Extra, ExtraStep, Options};
use postern_core::outcome::Work;

/// What an image does besides what every image does: words of the command line, and its steps of `run=`.
pub trait Image: Extra {
    /// Its name, as the file in `build/` has it.
    fn name(&self) -> &'static str;

    /// Memory is open and every CPU runs; devices are brought up next.
    fn memory_is_open(&mut self, _: Option<&Pool>, _: &mut Report) {}

    /// Does one of its own steps.
    fn run(&mut self, step: ExtraStep, options: &Options, devices: &mut Devices, report: &mut Report)
    -> Work;
}

/// The product, what a user runs and UV_ESM measures: nothing more than every image has.
impl Image for () {
    fn name(&self) -> &'static str {
        "postern"
    }

    fn run(&mut self, _: ExtraStep, _: &Options, _: &mut Devices, _: &mut Report) -> Work {
        Work::default()
    }
}
