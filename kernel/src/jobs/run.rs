//! The steps of `run=`, in order.

use super::{blk, ended, map, monitor, net, smp};
use crate::devices::set::Devices;
use crate::image::Image;
use crate::report::Report;
use postern_core::cmdline::{Options, Step};
use postern_core::outcome::Work;

/// Runs the steps in order, on the same devices. A failed step does not stop the next one, so that a broken device does
/// not affect the others. Returns how much work was asked for and done.
pub fn run(options: &Options, image: &mut impl Image, devices: &mut Devices, report: &mut Report) -> Work {
    let mut work = Work::default();
    for step in &options.run {
        log::debug!("run: {step}");
        match step {
            Step::Demo => work.add(demo(options, devices, report)),
            Step::BlkDigest => work.add(blk::digest(options, devices, report)),
            Step::BlkPattern => work.add(blk::pattern(options, devices, report)),
            Step::BlkSmp => work.add(smp::disks(options, devices, report)),
            Step::NetServe => work.add(net::serve(options, devices, report)),
            Step::Monitor => ended(&mut work, step, monitor::follow(options, image, devices, report)),
            Step::Map => ended(&mut work, step, map::state(report)),
            Step::Extra(step) => work.add(image.run(*step, options, devices, report)),
        }
    }
    work
}

/// The default step: the digest of each disk's first MiB, and an address and a ping for each card.
fn demo(options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let mut work = blk::first_mib(devices, report);
    work.add(net::lease_and_ping(options, devices, report));
    blk::at_least_one("disk or network card", work)
}
