//! Measurements. A host that compares runs asks for them; they say nothing by themselves.

#[cfg(not(feature = "bench-virtio-drivers"))]
use crate::arch::cpus::{self, Pending};
use crate::devices::DeviceError;
use crate::devices::set::Devices;
#[cfg(not(feature = "bench-virtio-drivers"))]
use crate::devices::set::Disk;
use crate::jobs::blk::SCRATCH;
use crate::jobs::ended;
#[cfg(not(feature = "bench-virtio-drivers"))]
use crate::jobs::worst;
use crate::platform::pseries::Pseries;
use crate::report::Report;
use alloc::format;
use alloc::vec::Vec;
use papr::addr::FRAME_SHIFT;
use papr::clock::{Clock, duration};
use postern_core::cmdline::{Options, Step};
use postern_core::disk::pattern::Pattern;
use postern_core::outcome::Work;
use svm_dma::dma::DeviceId;
use svm_dma::pool::{Account, Pool, SizeClass, Slot};
use workloads::bench::{self, Measured};

/// Measures each piece of work of `bench=` on the scratch disk, on as many of its queues at once, up to `most`, as
/// there are CPUs. A piece that fails keeps no other from being measured.
pub fn blk(step: Step, options: &Options, devices: &mut Devices, most: usize, report: &mut Report) -> Work {
    // Whoever measures the time until drivers are ready waits for this.
    report.fact_now("bench.ready", Pseries.now());
    report.fact("bench.timebase_hz", Pseries.frequency());
    let mut work = Work::default();
    if let Err(error) = measure_all(options, devices, most, report, &mut work) {
        ended(&mut work, step, Err(error));
    }
    work
}

fn measure_all(
    options: &Options,
    devices: &mut Devices,
    most: usize,
    report: &mut Report,
    done: &mut Work,
) -> Result<(), DeviceError> {
    let disk = devices.disks.iter_mut().find(|disk| disk.id == SCRATCH);
    let disk = disk.ok_or(DeviceError::Missing("disk with serial number scratch"))?;
    let content = bench::content(&mut disk.driver, Pattern { seed: options.seed })?;
    #[cfg(feature = "bench-virtio-drivers")]
    let (mut driver, _) = (other::Other::take(disk, devices.pool)?, most);
    for (number, work) in options.bench.iter().enumerate() {
        #[cfg(feature = "bench-virtio-drivers")]
        let all = driver.run(*work, content).map(|measured| measured.map(|one| alloc::vec![one]));
        #[cfg(not(feature = "bench-virtio-drivers"))]
        let all = on_queues(disk, *work, content, most).map(Some);
        let label = format!("blk{}", disk.number);
        let result = all.map(|all| {
            if let Some(all) = all {
                state(&label, number, work, &all, report);
            }
        });
        ended(done, format_args!("{label} {work}"), result);
    }
    Ok(())
}

/// States what was measured, all queues together.
fn state(
    label: &str,
    number: usize,
    work: &postern_core::workload::Work,
    all: &[Measured],
    report: &mut Report,
) {
    let per_second: u128 = all.iter().map(rate).sum();
    let requests: u64 = all.iter().map(|one| one.requests).sum();
    report.step(
        label,
        format_args!("{work}: {requests} requests, {per_second} a second, by {} of the CPUs", all.len()),
    );
    let longest = |part: fn(&Measured) -> u64| all.iter().map(part).max().unwrap_or(0);
    report.fact("bench.cpus", all.len());
    report.fact(format_args!("bench.{number}.work"), work);
    report.fact(format_args!("bench.{number}.requests"), requests);
    report.fact(format_args!("bench.{number}.ticks"), longest(|one| one.ticks));
    report.fact(format_args!("bench.{number}.idle"), longest(|one| one.idle));
    report.fact(format_args!("bench.{number}.depth"), all.iter().map(|one| one.depth).sum::<usize>());
    report.fact(format_args!("bench.{number}.iops"), per_second);
    report.fact(format_args!("bench.{number}.kb_s"), per_second.saturating_mul(work.bytes.into()) / 1000);
}

/// How long another CPU may take beyond the time of its work.
#[cfg(not(feature = "bench-virtio-drivers"))]
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(60);

/// Does one piece of work on up to `most` of the disk's queues at once, each by a CPU of its own.
#[cfg(not(feature = "bench-virtio-drivers"))]
fn on_queues(
    disk: &mut Disk,
    work: postern_core::workload::Work,
    content: bench::Content,
    most: usize,
) -> Result<Vec<Measured>, DeviceError> {
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
    let mut all = alloc::vec![bench::run(&mut disk.driver, work, content).map_err(DeviceError::from)];
    for (server, lent) in lent {
        let patience = PATIENCE.saturating_add(work.time);
        match lent.wait(patience) {
            Some((queue, measured)) => {
                disk.others.push(queue);
                all.push(measured.map_err(DeviceError::from));
            }
            None => all.push(Err(DeviceError::Cpu(server))),
        }
    }
    disk.others.extend(queues);
    worst(all.into_iter(), format_args!("blk{} {work}", disk.number))
}

/// Requests a second.
fn rate(measured: &Measured) -> u128 {
    let time = duration(&Pseries, measured.ticks).as_nanos().max(1);
    u128::from(measured.requests).saturating_mul(1_000_000_000).checked_div(time).unwrap_or(0)
}

/// Percent of the slots that are in use while one more is taken and given back.
const FILLS: [usize; 5] = [0, 25, 50, 75, 95];
/// How often that is done.
const PAIRS: usize = 10_000;

/// Measures the bookkeeping of a pool of the size that `pool=` says, by how full it is. It is a pool without memory:
/// the one of this machine is the devices'.
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
            format_args!("a slot taken and given back with {fill} % of {slots} in use: {per_pair} ns"),
        );
        report.fact(format_args!("bench.slot.{number}.fill"), fill);
        report.fact(format_args!("bench.slot.{number}.pairs"), PAIRS);
        report.fact(format_args!("bench.slot.{number}.ticks"), ticks);
    }
    Ok(())
}

fn take(pool: &mut Pool, account: Account) -> Result<Slot, DeviceError> {
    pool.allocate(account, SizeClass::B4096.bytes()).map_err(|error| DeviceError::Dma(error.into()))
}

#[cfg(feature = "bench-virtio-drivers")]
#[allow(
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "the crate that is compared with has traits that cannot fail, and trusts its device; no image but that of `make bench` has it"
)]
mod other;
