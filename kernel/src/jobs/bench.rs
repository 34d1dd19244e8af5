//! Measurements. A host that compares runs asks for them; they say nothing by themselves.

use crate::devices::DeviceError;
use crate::devices::set::Devices;
use crate::jobs::blk::SCRATCH;
use crate::platform::pseries::Pseries;
use crate::report::Report;
use alloc::format;
use postern_core::blk::bench;
use postern_core::blk::pattern::Pattern;
use postern_core::clock::{Clock, duration};
use postern_core::cmdline::Options;

/// Measures each piece of work of `bench=` on the scratch disk.
pub fn blk(options: &Options, devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
    // Whoever measures the time until drivers are ready waits for this.
    report.fact_now("bench.ready", Pseries.now());
    report.fact("bench.timebase_hz", Pseries.frequency());
    let disk = devices.disks.iter_mut().find(|disk| disk.id == SCRATCH);
    let disk = disk.ok_or(DeviceError::Missing("a disk with serial number scratch"))?;
    let content = bench::content(&mut disk.driver, Pattern { seed: options.seed })?;
    #[cfg(feature = "bench-virtio-drivers")]
    let mut driver = other::Other::take(disk, devices.pool)?;
    for (number, work) in options.bench.iter().enumerate() {
        #[cfg(feature = "bench-virtio-drivers")]
        let Some(measured) = driver.run(*work, content)? else { continue };
        #[cfg(not(feature = "bench-virtio-drivers"))]
        let measured = bench::run(&mut disk.driver, *work, content)?;
        let time = duration(&Pseries, measured.ticks).as_nanos().max(1);
        let per_second = u128::from(measured.requests) * 1_000_000_000 / time;
        report.step(
            &format!("blk{}", disk.number),
            format_args!("{work}: {} requests, {per_second} a second", measured.requests),
        );
        report.fact(format_args!("bench.{number}.work"), work);
        report.fact(format_args!("bench.{number}.requests"), measured.requests);
        report.fact(format_args!("bench.{number}.ticks"), measured.ticks);
        report.fact(format_args!("bench.{number}.idle"), measured.idle);
        report.fact(format_args!("bench.{number}.depth"), measured.depth);
        report.fact(format_args!("bench.{number}.iops"), per_second);
        report.fact(format_args!("bench.{number}.kb_s"), per_second * u128::from(work.bytes) / 1000);
    }
    Ok(())
}

#[cfg(feature = "bench-virtio-drivers")]
mod other;
