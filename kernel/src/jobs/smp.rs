//! Work on disks from all CPUs at once.

use crate::arch::cpus::{self, Pending};
use crate::devices::DeviceError;
use crate::devices::set::{Devices, Disk};
use crate::jobs::blk::{SCRATCH, at_least_one};
use crate::jobs::{ended, worst};
use crate::platform::pseries::Pseries;
use crate::report::Report;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use papr::clock::{Clock, duration};
use papr::lock::Lock;
use postern_core::cmdline::Options;
use postern_core::disk::jobs::{self, Sha256Digest};
use postern_core::disk::partition;
use postern_core::disk::pattern::Pattern;
use postern_core::facts;
use postern_core::outcome::Work;
use virtio_pci::blk::driver::Blk;
use virtio_pci::interrupts::IrqSource;

/// How long another CPU's share may take after this CPU's share is done.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The wait for other CPUs after this CPU's own part has failed: the result cannot become better.
const SHORT: Duration = Duration::from_secs(5);

type Queue = Arc<Lock<Blk<Pseries, Pseries>>>;

/// The result of one CPU's part of a disk.
struct Share {
    server: u32,
    /// Which of the disk's queues.
    queue: usize,
    range: Range<u64>,
    outcome: Result<Option<Sha256Digest>, DeviceError>,
}

/// Reads each data disk and overwrites each scratch disk. Every CPU has a part of the disk.
pub fn disks(options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let pattern = Pattern { seed: options.seed };
    let mut work = Work::default();
    for disk in core::mem::take(&mut devices.disks) {
        let number = disk.number;
        let (disk, result) = one(disk, pattern, report);
        devices.disks.extend(disk);
        ended(&mut work, format_args!("blk{number}"), result);
    }
    at_least_one("disk", work)
}

/// Works on one disk. Returns it for later steps, unless a CPU that does not answer still has one of its queues.
fn one(mut disk: Disk, pattern: Pattern, report: &mut Report) -> (Option<Disk>, Result<(), DeviceError>) {
    if let Err(error) = jobs::whole(&mut disk.driver) {
        return (Some(disk), Err(error.into()));
    }
    let Disk { number, id, driver, others } = disk;
    let writes = id == SCRATCH;
    let geometry = driver.geometry();
    let queues: Vec<Queue> = core::iter::once(driver)
        .chain(others)
        .map(|queue| Arc::new(Lock::new("queue of a disk", queue)))
        .collect();
    let workers: Vec<_> = cpus::workers().collect();
    let count = workers.len().saturating_add(1);
    // A queue's interrupts go to one CPU only, so CPUs poll a queue that they share.
    let shared = count > queues.len();
    pause(&queues, shared);
    let start = Pseries.now();
    let work = |(index, (queue, driver)): (usize, (usize, &Queue))| {
        let (mine, range) = (Arc::clone(driver), partition::part(&geometry, index, count));
        move || Share {
            server: cpus::server_here(),
            queue,
            outcome: share(&mine, &range, writes, pattern),
            range,
        }
    };
    // With more CPUs than queues, CPUs share the first queues.
    let mut turns = (0..count).zip(queues.iter().enumerate().cycle()).map(work);
    let here = turns.next();
    let pending: Vec<(u32, Pending<Share>)> =
        workers.iter().zip(turns).map(|(worker, work)| (worker.server(), worker.start(work))).collect();
    let mut shares: Vec<Share> = here.into_iter().map(|work| work()).collect();
    let timeout = if shares.iter().all(|share| share.outcome.is_ok()) { TIMEOUT } else { SHORT };
    let mut silent = Vec::new();
    for (server, pending) in pending {
        match pending.wait(if silent.is_empty() { timeout } else { SHORT }) {
            Ok(share) => shares.push(share),
            Err(why) => silent.push(DeviceError::Cpu(server, why)),
        }
    }
    pause(&queues, false);
    if !silent.is_empty() {
        // A failure that a CPU reported says more than a CPU that does not answer.
        let failed = shares.into_iter().filter_map(|share| share.outcome.err()).chain(silent);
        return (None, worst(failed.map(Err::<(), _>), format_args!("blk{number}")).map(drop));
    }
    let took = duration(&Pseries, Pseries.now().wrapping_sub(start)).as_millis();
    // All results are here, so no CPU holds a queue any more.
    let back = queues.into_iter().map(|queue| Arc::into_inner(queue).map(Lock::into_inner));
    let Some(mut back) = back.collect::<Option<Vec<Blk<Pseries, Pseries>>>>() else {
        return (None, Err(DeviceError::Missing("queue that was lent to a CPU")));
    };
    for (index, share) in shares.iter().enumerate() {
        report.fact(facts::disk::CPU_SERVER.at([number, index]), share.server);
        report.fact(facts::disk::CPU_QUEUE.at([number, index]), share.queue);
        let Range { start, end } = share.range;
        report.fact(facts::disk::CPU_RANGE.at([number, index]), format_args!("{start:#x} {end:#x}"));
        let line = back.get(share.queue).and_then(|queue| queue.line());
        report.fact(facts::disk::CPU_INTERRUPTS.at([number, index]), line.map_or(0, IrqSource::arrivals));
        if let Some(server) = line.and_then(IrqSource::taken_by) {
            report.fact(facts::disk::CPU_INTERRUPTED.at([number, index]), server);
        }
        if let Ok(Some(sum)) = &share.outcome {
            report.fact(facts::disk::CPU_SHA256.at([number, index]), sum);
        }
    }
    let result = worst(shares.into_iter().map(|share| share.outcome), format_args!("blk{number}"));
    if result.is_ok() {
        report.step(
            &format!("blk{number}"),
            format_args!(
                "{} bytes {} by {count} CPUs through {} queues ({took} ms)",
                geometry.usable_bytes(),
                if writes { "of pattern written and read back equal" } else { "read" },
                back.len(),
            ),
        );
    }
    (Some(Disk { number, id, driver: back.remove(0), others: back }), result.map(drop))
}

fn pause(queues: &[Queue], paused: bool) {
    queues.iter().filter_map(|queue| queue.try_take(&Pseries)).for_each(|queue| {
        if let Some(line) = queue.line() {
            line.pause(paused);
        }
    });
}

/// One CPU's work: computes the digest of its part, or writes it, reads it back and compares.
fn share(
    queue: &Queue,
    range: &Range<u64>,
    writes: bool,
    pattern: Pattern,
) -> Result<Option<Sha256Digest>, DeviceError> {
    if !writes {
        return Ok(Some(partition::digest(queue, &Pseries, range.clone())?));
    }
    partition::write(queue, &Pseries, range.clone(), pattern)?;
    partition::verify(queue, &Pseries, range.clone(), pattern)?;
    Ok(None)
}
