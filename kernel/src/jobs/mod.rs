//! What `run=` asks for, in order.

mod bench;
mod blk;
mod memory;
mod net;
mod smp;
mod soak;

use crate::devices::DeviceError;
use crate::devices::set::Devices;
use crate::report::Report;
use crate::stop::Stop;
use postern_core::cmdline::{Options, Step};

/// Runs the steps, each on what the one before left. One that fails keeps no other from running: a device that
/// broke is not to take the others with it.
///
/// # Errors
/// The first failure; the others were reported.
pub fn run(options: &Options, devices: &mut Devices, report: &mut Report) -> Result<(), Stop> {
    let mut outcome = Ok(());
    for step in &options.run {
        log::debug!("run: {step}");
        let done = match step {
            Step::Demo => {
                let disks = reported(blk::first_mib(devices, report));
                disks.and(net::lease_and_ping(options, devices, report)).map_err(Stop::from)
            }
            Step::BlkDigest => blk::digest(devices, report).map_err(Stop::from),
            Step::BlkPattern => blk::pattern(options, devices, report).map_err(Stop::from),
            Step::BlkSmp => smp::disks(options, devices, report).map_err(Stop::from),
            Step::Soak => soak::soak(options, devices, report).map_err(Stop::from),
            Step::IrqCost => blk::irq_cost(devices, report).map_err(Stop::from),
            Step::NetServe => net::serve(options, devices, report).map_err(Stop::from),
            Step::NetBench => net::bench(options, devices, report).map_err(Stop::from),
            Step::BenchBlk => bench::blk(options, devices, 1, report).map_err(Stop::from),
            Step::BenchSmp => bench::blk(options, devices, usize::MAX, report).map_err(Stop::from),
            Step::BenchPool => bench::pool(options, report).map_err(Stop::from),
            Step::Map => {
                memory::map(report);
                Ok(())
            }
            Step::Memory => memory::fill(report),
            Step::Breach(breach) => memory::breach(*breach, devices.pool, report),
        };
        outcome = outcome.and(reported(done));
    }
    outcome.and(match devices.refused {
        0 => Ok(()),
        refused => Err(DeviceError::Refused(refused).into()),
    })
}

fn reported<E: core::fmt::Display>(result: Result<(), E>) -> Result<(), E> {
    result.inspect_err(|error| log::error!("{error}"))
}
