//! Jobs on disks.

use crate::devices::DeviceError;
use crate::devices::set::{Devices, Disk};
use crate::jobs::ended;
use crate::platform::pseries::Pseries;
use crate::report::Report;
use alloc::format;
use alloc::vec::Vec;
use papr::clock::{Clock, duration};
use postern_core::cmdline::Options;
use postern_core::disk::jobs;
use postern_core::disk::pattern::Pattern;
use postern_core::facts;
use postern_core::outcome::Work;
use virtio_pci::blk::stream::Plan;

/// The serial number of the disks that may be overwritten.
pub const SCRATCH: &str = "scratch";
const MIB: u64 = 1 << 20;

/// SHA-256 of each disk's first MiB.
pub fn first_mib(devices: &mut Devices, report: &mut Report) -> Work {
    each(devices.disks.iter_mut(), |disk| {
        let (sum, _) = jobs::digest(&mut disk.driver, MIB, Plan::default())?;
        report.step(&format!("blk{}", disk.number), format_args!("SHA-256 of the first MiB {sum}"));
        report.fact(facts::disk::SHA256_1M.at(disk.number), sum);
        Ok(())
    })
}

/// SHA-256 of each whole disk. A disk named `scratch` (the host chooses names) is left out only if another step of
/// `run=` writes to such disks; a log line and a fact say so.
pub fn digest(options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let writer = options.run.iter().find(|step| step.writes_scratch());
    let data = devices.disks.iter_mut().filter(|disk| match writer.filter(|_| disk.id == SCRATCH) {
        Some(step) => {
            log::info!("blk{}: named scratch, left to {step}", disk.number);
            report.fact(facts::disk::LEFT_TO.at(disk.number), step);
            false
        }
        None => true,
    });
    let data: Vec<&mut Disk> = data.collect();
    at_least_one("data disk", each(data.into_iter(), |disk| digest_one(disk, report)))
}

/// SHA-256 of one whole disk.
///
/// # Errors
/// It could not be read.
pub fn digest_one(disk: &mut Disk, report: &mut Report) -> Result<(), DeviceError> {
    let ((sum, bytes), rate) =
        timed(disk, |disk| Ok(jobs::digest(&mut disk.driver, u64::MAX, Plan::default())?))?;
    report.step(&format!("blk{}", disk.number), format_args!("SHA-256 {sum} of {bytes} bytes ({rate})"));
    report.fact(facts::disk::SHA256.at(disk.number), sum);
    report.fact(facts::disk::SHA256_BYTES.at(disk.number), bytes);
    Ok(())
}

/// Writes the seeded pattern over each scratch disk, reads it back and compares.
pub fn pattern(options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let scratch = devices.disks.iter_mut().filter(|disk| disk.id == SCRATCH);
    let work = each(scratch, |disk| pattern_one(options, disk, report));
    at_least_one("disk with serial number scratch", work)
}

fn pattern_one(options: &Options, disk: &mut Disk, report: &mut Report) -> Result<(), DeviceError> {
    let pattern = Pattern { seed: options.seed };
    let (bytes, rate) =
        timed(disk, |disk| Ok(jobs::write_and_verify(&mut disk.driver, pattern, Plan::default())?))?;
    report.step(
        &format!("blk{}", disk.number),
        format_args!("{bytes} bytes of pattern (seed {}) written and read back equal ({rate})", options.seed),
    );
    report.fact(facts::disk::PATTERN_BYTES.at(disk.number), bytes);
    Ok(())
}

/// Does `job` on each disk. A failure does not stop the others.
pub fn each<'a>(
    disks: impl Iterator<Item = &'a mut Disk>,
    mut job: impl FnMut(&mut Disk) -> Result<(), DeviceError>,
) -> Work {
    let mut work = Work::default();
    for disk in disks {
        let result = job(disk);
        ended(&mut work, format_args!("blk{}", disk.number), result);
    }
    work
}

/// Makes work without a single piece a failure: there is no `what`.
pub fn at_least_one(what: &'static str, mut work: Work) -> Work {
    if work.asked() == 0 {
        ended(&mut work, "run", Err(DeviceError::Missing(what)));
    }
    work
}

fn timed<T>(
    disk: &mut Disk,
    job: impl FnOnce(&mut Disk) -> Result<T, DeviceError>,
) -> Result<(T, alloc::string::String), DeviceError> {
    let start = Pseries.now();
    let result = job(disk)?;
    let took = duration(&Pseries, Pseries.now().wrapping_sub(start));
    Ok((result, format!("{} ms", took.as_millis())))
}
