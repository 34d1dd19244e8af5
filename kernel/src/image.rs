//! What an image can add to the kernel.

use crate::devices::set::Devices;
use crate::memory::open::Pool;
use crate::report::Report;
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
