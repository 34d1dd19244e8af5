//! `irq-cost`: the time and hypercalls of a read, polled and by interrupt.

use alloc::format;
use alloc::vec::Vec;
use papr::clock::{Clock, duration};
use postern_core::facts;
use postern_kernel::devices::DeviceError;
use postern_kernel::devices::set::Devices;
use postern_kernel::platform::pseries::{self, Pseries};
use postern_kernel::report::Report;

/// Number of reads of each kind.
const READS: usize = 500;

/// Measures reads of 4 KiB in two ways: polled all the time, and polled for a while, then by interrupt. The two ways
/// alternate, so that other load on the host affects both alike.
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
    report.fact(facts::disk::READ_POLLED_NS.at(disk.number), polled.0);
    report.fact(facts::disk::READ_POLLED_HCALLS.at(disk.number), polled.1);
    report.fact(facts::disk::READ_INTERRUPT_NS.at(disk.number), interrupt.0);
    report.fact(facts::disk::READ_INTERRUPT_HCALLS.at(disk.number), interrupt.1);
    report.fact(facts::disk::READ_INTERRUPTS.at(disk.number), arrivals);
    Ok(())
}

/// Costs of each read: nanoseconds, and hypercalls.
struct Costs {
    times: Vec<u128>,
    hcalls: Vec<u128>,
}

impl Costs {
    /// The lower quartile of the times, which occasional load on the host does not change, and the median of the
    /// hypercalls.
    fn quarter(self) -> (u128, u128) {
        let at = |mut all: Vec<u128>, part: usize| {
            all.sort_unstable();
            all.len().checked_div(part).and_then(|at| all.get(at)).copied().unwrap_or(0)
        };
        (at(self.times, 4), at(self.hcalls, 2))
    }
}
