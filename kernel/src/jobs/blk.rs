//! Jobs on disks.

use crate::devices::DeviceError;
use crate::devices::set::{Devices, Disk};
use crate::platform::pseries::{self, Pseries};
use crate::report::Report;
use alloc::format;
use alloc::vec::Vec;
use postern_core::blk::jobs;
use postern_core::blk::pattern::Pattern;
use postern_core::blk::stream::Plan;
use postern_core::clock::{Clock, duration};
use postern_core::cmdline::Options;

/// The serial number of the one disk that may be overwritten.
pub(super) const SCRATCH: &str = "scratch";
const MIB: u64 = 1 << 20;
/// Reads of each kind that `irq-cost` makes.
const READS: usize = 500;

/// SHA-256 of each disk's first MiB.
pub fn first_mib(devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
    for disk in &mut devices.disks {
        let sum = jobs::digest(&mut disk.driver, MIB, Plan::default())?;
        report.step(&format!("blk{}", disk.number), format_args!("SHA-256 of the first MiB {sum}"));
        report.fact(format_args!("blk{}.sha256_1m", disk.number), sum);
    }
    Ok(())
}

/// SHA-256 of each whole data disk.
pub fn digest(devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
    let mut data = devices.disks.iter_mut().filter(|disk| disk.id != SCRATCH).peekable();
    if data.peek().is_none() {
        return Err(DeviceError::Missing("data disk"));
    }
    let mut outcome = Ok(());
    for disk in data {
        let done = digest_one(disk, report);
        if let (Err(_), Err(error)) = (&outcome, &done) {
            log::error!("blk{}: {error}", disk.number);
        }
        // One disk that fails does not keep another from being read.
        outcome = outcome.and(done);
    }
    outcome
}

pub(super) fn digest_one(disk: &mut Disk, report: &mut Report) -> Result<(), DeviceError> {
    let (sum, rate) = timed(disk, |disk| Ok(jobs::digest(&mut disk.driver, u64::MAX, Plan::default())?))?;
    report.step(&format!("blk{}", disk.number), format_args!("SHA-256 {sum} ({rate})"));
    report.fact(format_args!("blk{}.sha256", disk.number), sum);
    Ok(())
}

/// Writes the seeded pattern over the scratch disk and reads it back.
pub fn pattern(options: &Options, devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
    let disk = devices.disks.iter_mut().find(|disk| disk.id == SCRATCH);
    let disk = disk.ok_or(DeviceError::Missing("disk with serial number scratch"))?;
    let pattern = Pattern { seed: options.seed };
    let (bytes, rate) =
        timed(disk, |disk| Ok(jobs::write_and_verify(&mut disk.driver, pattern, Plan::default())?))?;
    report.step(
        &format!("blk{}", disk.number),
        format_args!("{bytes} bytes of pattern (seed {}) written and read back equal ({rate})", options.seed),
    );
    report.fact(format_args!("blk{}.pattern_bytes", disk.number), bytes);
    Ok(())
}

/// What a read of 4 KiB costs when the driver looks for its completion all the time, and when it looks for a while and
/// sleeps until an interrupt. Both take turns, so that whatever else the host does touches both alike.
pub fn irq_cost(devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
    let disk = devices.disks.first_mut().ok_or(DeviceError::Missing("disk"))?;
    let Some(line) = disk.driver.line() else {
        return Err(DeviceError::Missing("disk with interrupts"));
    };
    let before = line.arrivals();
    let mut costs = [const { Costs { times: Vec::new(), hcalls: Vec::new() } }; 2];
    for _ in 0..READS {
        for (polled, costs) in [true, false].into_iter().zip(&mut costs) {
            if let Some(line) = disk.driver.line() {
                line.pause(polled);
            }
            let (start, hcalls) = (Pseries.now(), pseries::hcalls());
            disk.driver.read(0, 4096).map_err(DeviceError::Blk)?;
            costs.times.push(duration(&Pseries, Pseries.now().wrapping_sub(start)).as_nanos());
            costs.hcalls.push(u128::from(pseries::hcalls().wrapping_sub(hcalls)));
        }
    }
    let [polled, interrupt] = costs.map(Costs::quarter);
    let arrivals = disk.driver.line().map_or(0, |line| line.arrivals().wrapping_sub(before));
    let label = format!("blk{}", disk.number);
    report.step(
        &label,
        format_args!(
            "4 KiB read: {} ns and {} hcalls polled, {} ns and {} hcalls by interrupt \
             (lower quartiles of {READS}; {arrivals} interrupts)",
            polled.0, polled.1, interrupt.0, interrupt.1
        ),
    );
    report.fact(format_args!("blk{}.read_polled_ns", disk.number), polled.0);
    report.fact(format_args!("blk{}.read_polled_hcalls", disk.number), polled.1);
    report.fact(format_args!("blk{}.read_interrupt_ns", disk.number), interrupt.0);
    report.fact(format_args!("blk{}.read_interrupt_hcalls", disk.number), interrupt.1);
    report.fact(format_args!("blk{}.read_interrupts", disk.number), arrivals);
    Ok(())
}

/// Of each read: nanoseconds, and hypercalls.
struct Costs {
    times: Vec<u128>,
    hcalls: Vec<u128>,
}

impl Costs {
    /// The lower quartile of the times, which a host that does something else now and then does not touch, and the
    /// median of the hypercalls.
    fn quarter(self) -> (u128, u128) {
        let at = |mut all: Vec<u128>, part: usize| {
            all.sort_unstable();
            all.get(all.len() / part).copied().unwrap_or(0)
        };
        (at(self.times, 4), at(self.hcalls, 2))
    }
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
