//! The steps that measure disks and the pool. Their figures mean something only in comparison with other runs.

use crate::TestError;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use papr::addr::FRAME_SHIFT;
use papr::clock::{Clock, duration};
use postern_core::cmdline::{Options, Step};
use postern_core::disk::pattern::Pattern;
use postern_core::facts;
use postern_core::outcome::Work;
use postern_kernel::arch::cpus::{self, Pending};
use postern_kernel::devices::DeviceError;
use postern_kernel::devices::set::{Devices, Disk};
use postern_kernel::jobs::blk::SCRATCH;
use postern_kernel::jobs::{Failed, ended, worst};
use postern_kernel::platform::pseries::Pseries;
use postern_kernel::report::Report;
use svm_dma::dma::DeviceId;
use svm_dma::pool::{Account, Pool, SizeClass, Slot};
use workloads::bench::{self, Content, Measured};
use workloads::work::Work as DiskWork;

/// Measures each piece of work on the scratch disk, on as many of its queues at once, up to `most`, as there are CPUs.
pub fn blk(
    step: Step,
    works: &[DiskWork],
    options: &Options,
    devices: &mut Devices,
    most: usize,
    report: &mut Report,
) -> Work {
    by_driver(step, works, options, devices, report, |_| {
        Ok::<_, TestError>(move |disk: &mut Disk, work, content| {
            on_queues(disk, work, content, most).map(Some)
        })
    })
}

/// Measures each piece of work on the scratch disk with the function that `begin` returns, which answers `None` for work
/// that it cannot do. A failed piece does not stop the next one.
pub fn by_driver<E, M>(
    step: Step,
    works: &[DiskWork],
    options: &Options,
    devices: &mut Devices,
    report: &mut Report,
    begin: impl FnOnce(&mut Disk) -> Result<M, E>,
) -> Work
where
    E: Failed + From<TestError>,
    M: FnMut(&mut Disk, DiskWork, Content) -> Result<Option<Vec<Measured>>, E>,
{
    // Printed at once: the host measures the time until drivers are ready.
    report.fact_now(facts::bench::READY, Pseries.now());
    report.fact(facts::bench::TIMEBASE_HZ, Pseries.frequency());
    let mut done = Work::default();
    let (disk, content, mut measure) = match scratch(options, devices, begin) {
        Ok(all) => all,
        Err(error) => {
            ended(&mut done, step, Err(error));
            return done;
        }
    };
    for (number, work) in works.iter().enumerate() {
        let all = measure(disk, *work, content);
        let label = format!("blk{}", disk.number);
        let result = all.map(|all| {
            if let Some(all) = all {
                state(&label, number, work, &all, report);
            }
        });
        ended(&mut done, format_args!("{label} {work}"), result);
    }
    done
}

/// The disk to measure, its content, and the function that measures it.
fn scratch<'a, E: From<TestError>, M>(
    options: &Options,
    devices: &'a mut Devices,
    begin: impl FnOnce(&mut Disk) -> Result<M, E>,
) -> Result<(&'a mut Disk, Content, M), E> {
    let disk = devices.disks.iter_mut().find(|disk| disk.id == SCRATCH);
    let disk =
        disk.ok_or_else(|| TestError::from(DeviceError::Missing("disk with serial number scratch")))?;
    let content =
        bench::content(&mut disk.driver, Pattern { seed: options.seed }).map_err(TestError::from)?;
    let measure = begin(disk)?;
    Ok((disk, content, measure))
}

/// States the results of a piece of work, over all queues.
fn state(label: &str, number: usize, work: &DiskWork, all: &[Measured], report: &mut Report) {
    let per_second: u128 = all.iter().map(rate).sum();
    let requests: u64 = all.iter().map(|one| one.requests).sum();
    report.step(
        label,
        format_args!("{work}: {requests} requests, {per_second} a second, by {} of the CPUs", all.len()),
    );
    let longest = |part: fn(&Measured) -> u64| all.iter().map(part).max().unwrap_or(0);
    report.fact(facts::bench::CPUS, all.len());
    report.fact(facts::bench::WORK.at(number), work);
    report.fact(facts::bench::REQUESTS.at(number), requests);
    report.fact(facts::bench::TICKS.at(number), longest(|one| one.ticks));
    report.fact(facts::bench::IDLE.at(number), longest(|one| one.idle));
    report.fact(facts::bench::DEPTH.at(number), all.iter().map(|one| one.depth).sum::<usize>());
    report.fact(facts::bench::IOPS.at(number), per_second);
    report.fact(facts::bench::KB_S.at(number), per_second.saturating_mul(work.bytes.into()) / 1000);
}

/// How long another CPU may take beyond the time of its work.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Does one piece of work on up to `most` of the disk's queues at once, each by a CPU of its own.
fn on_queues(
    disk: &mut Disk,
    work: DiskWork,
    content: Content,
    most: usize,
) -> Result<Vec<Measured>, TestError> {
    let mut queues = core::mem::take(&mut disk.others).into_iter();
    let lent: Vec<(u32, Pending<_>)> = cpus::workers()
        .take(most.saturating_sub(1))
        .zip(queues.by_ref())
        .map(|(cpu, mut queue)| {
            let measure = move || {
                let measured = bench::run(&mut queue, work, content);
                (queue, measured)
            };
            (cpu.server(), cpu.start(measure))
        })
        .collect();
    let mut all = vec![bench::run(&mut disk.driver, work, content).map_err(TestError::from)];
    for (server, lent) in lent {
        let timeout = TIMEOUT.saturating_add(work.time);
        match lent.wait(timeout) {
            Ok((queue, measured)) => {
                disk.others.push(queue);
                all.push(measured.map_err(TestError::from));
            }
            Err(why) => all.push(Err(DeviceError::Cpu(server, why).into())),
        }
    }
    disk.others.extend(queues);
    worst(all.into_iter(), format_args!("blk{} {work}", disk.number))
}

/// The rate in requests per second.
fn rate(measured: &Measured) -> u128 {
    let time = duration(&Pseries, measured.ticks).as_nanos().max(1);
    u128::from(measured.requests).saturating_mul(1_000_000_000).checked_div(time).unwrap_or(0)
}

/// Percent of the slots that are in use while one more is taken and given back.
const FILLS: [usize; 5] = [0, 25, 50, 75, 95];
/// How often a slot is taken and given back.
const PAIRS: usize = 10_000;

/// Measures the bookkeeping of a pool of `pool=` bytes, filled in steps. It is a pool without memory, because devices use
/// the machine's pool.
pub fn pool(options: &Options, report: &mut Report) -> Result<(), DeviceError> {
    let frames = u32::try_from(options.pool >> FRAME_SHIFT).unwrap_or(u32::MAX);
    let mut pool = Pool::new(frames);
    let account = pool.register(DeviceId::from_routing(0, 0), frames);
    let slots = (frames as usize).saturating_mul(SizeClass::B4096.slots() as usize);
    let mut held: Vec<Slot> = Vec::with_capacity(slots);
    for (number, fill) in FILLS.into_iter().enumerate() {
        while held.len() < slots.saturating_mul(fill) / 100 {
            held.push(take(&mut pool, account)?);
        }
        let start = Pseries.now();
        for _ in 0..PAIRS {
            let slot = take(&mut pool, account)?;
            pool.free(slot);
        }
        let ticks = Pseries.now().wrapping_sub(start);
        let per_pair = duration(&Pseries, ticks).as_nanos().checked_div(PAIRS as u128).unwrap_or(0);
        report.step(
            "pool",
            format_args!("a slot taken and freed with {fill} % of {slots} in use: {per_pair} ns"),
        );
        report.fact(facts::bench::SLOT_FILL.at(number), fill);
        report.fact(facts::bench::SLOT_PAIRS.at(number), PAIRS);
        report.fact(facts::bench::SLOT_TICKS.at(number), ticks);
    }
    Ok(())
}

fn take(pool: &mut Pool, account: Account) -> Result<Slot, DeviceError> {
    pool.allocate(account, SizeClass::B4096.bytes()).map_err(|error| DeviceError::Dma(error.into()))
}
