//! `blk-discard`: discard and write zeroes on each scratch disk.

use alloc::format;
use postern_core::cmdline::Options;
use postern_core::disk::pattern::Pattern;
use postern_core::facts::disk::{DISCARDED_BYTES, DISCARDED_ZEROS, KEPT_BYTES, ZEROED_BYTES};
use postern_core::outcome::Work;
use postern_kernel::devices::DeviceError;
use postern_kernel::devices::set::{Devices, Disk};
use postern_kernel::jobs::blk::{SCRATCH, at_least_one, each};
use postern_kernel::report::Report;
use virtio_pci::blk::stream::Plan;
use workloads::ranges::discard_and_zero;

/// Runs the step.
pub fn discard(options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let pattern = Pattern { seed: options.seed };
    let scratch = devices.disks.iter_mut().filter(|disk| disk.id == SCRATCH);
    let work = each(scratch, |disk| discard_one(pattern, disk, report));
    at_least_one("disk with serial number scratch", work)
}

fn discard_one(pattern: Pattern, disk: &mut Disk, report: &mut Report) -> Result<(), DeviceError> {
    let number = disk.number;
    let done = discard_and_zero(&mut disk.driver, pattern, Plan::default())?;
    report.step(
        &format!("blk{number}"),
        format_args!(
            "{} bytes discarded, of which {} read as zeros; {} made zeros; {} kept",
            done.discarded, done.discarded_zeros, done.zeroed, done.kept
        ),
    );
    report.fact(DISCARDED_BYTES.at(number), done.discarded);
    report.fact(DISCARDED_ZEROS.at(number), done.discarded_zeros);
    report.fact(ZEROED_BYTES.at(number), done.zeroed);
    report.fact(KEPT_BYTES.at(number), done.kept);
    Ok(())
}
