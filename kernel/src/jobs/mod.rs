//! What `run=` asks for, in order.

mod bench;
mod blk;
mod memory;
mod net;

use crate::devices::DeviceError;
use crate::devices::set::Devices;
use crate::report::Report;
use crate::stop::Stop;
use postern_core::cmdline::{Options, Step};

/// Runs the steps, each on what the one before left; the first failure ends the run.
///
/// # Errors
/// What failed.
pub fn run(options: &Options, devices: &mut Devices, report: &mut Report) -> Result<(), Stop> {
    for step in &options.run {
        log::debug!("run: {step}");
        match step {
            Step::Demo => {
                blk::first_mib(devices, report)?;
                net::lease_and_ping(options, devices, report)?;
            }
            Step::BlkDigest => blk::digest(devices, report)?,
            Step::BlkPattern => blk::pattern(options, devices, report)?,
            Step::NetServe => net::serve(options, devices, report)?,
            Step::BenchBlk => bench::blk(options, devices, report)?,
            Step::Map => memory::map(report),
            Step::Breach(breach) => memory::breach(*breach, devices.pool, report)?,
        }
    }
    match devices.refused {
        0 => Ok(()),
        refused => Err(DeviceError::Refused(refused).into()),
    }
}
