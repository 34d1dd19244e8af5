//! What `run=` asks for, in order.

pub mod blk;
mod map;
mod monitor;
pub mod net;
mod page;
mod smp;

use crate::devices::set::Devices;
use crate::image::Image;
use crate::report::Report;
pub use crate::stop::Failed;
use alloc::vec::Vec;
use core::fmt::Display;
use postern_core::cmdline::{Options, Step};
use postern_core::exit::ExitStatus;
use postern_core::outcome::Work;

/// Runs the steps, each on what the one before left. One that fails keeps no other from running: a device that
/// broke is not to take the others with it. Counts what was asked for and what was done.
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
            Step::Monitor => ended(&mut work, step, monitor::follow(options, devices, report)),
            Step::Map => ended(&mut work, step, map::state(report)),
            Step::Extra(step) => work.add(image.run(*step, options, devices, report)),
        }
    }
    work
}

/// What a first boot shows: the first MiB of each disk, and the network of each card.
fn demo(options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let mut work = blk::first_mib(devices, report);
    work.add(net::lease_and_ping(options, devices, report));
    blk::at_least_one("disk or network card", work)
}

/// Counts a piece of work, and says by whose name it failed.
pub fn ended<E: Failed>(work: &mut Work, whose: impl Display, result: Result<(), E>) {
    work.note(result.map_err(|error| {
        log::error!("{whose}: {error}");
        error.status()
    }));
}

/// All results, or the error that decides, once the others are named: wrong data before anything else.
///
/// # Errors
/// The failure that decides.
pub fn worst<T, E: Failed>(
    results: impl Iterator<Item = Result<T, E>>,
    whose: impl Display,
) -> Result<Vec<T>, E> {
    let (mut good, mut failed) = (Vec::new(), None::<E>);
    for result in results {
        match (result, failed.take()) {
            (Ok(one), before) => {
                good.push(one);
                failed = before;
            }
            (Err(error), None) => failed = Some(error),
            (Err(error), Some(before)) => {
                let worse = error.status() == ExitStatus::VerificationFailed;
                let (decides, other) = if worse { (error, before) } else { (before, error) };
                log::error!("{whose}: {other}");
                failed = Some(decides);
            }
        }
    }
    failed.map_or(Ok(good), Err)
}
