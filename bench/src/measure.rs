//! The measurements of one system.

use crate::guest::{Guest, GuestConfig, GuestError, Parts};
use crate::network::{self, Until};
use crate::plan::{Backend, DISK, Effort, REPEATED, System};
use crate::results::{Results, Row};
use postern_harness::guest::report::Report;
use postern_harness::variable::Firmware;
use std::time::Duration;

/// The groups of rows, as the report names them.
pub const START: &str = "start";
/// Network rows.
pub const NETWORK: &str = "network";
/// Instruction rows.
pub const INSTRUCTIONS: &str = "guest instructions";
/// The row of the pool's opening.
pub const OPENING: &str = "pool of 8 MiB: 128 frames shared, verified, mapped";
/// Rows of the pool's bookkeeping.
pub const SLOTS: &str = "instructions of a slot by the pool's fill";

/// The timebase of every pseries.
const TIMEBASE_HZ: f64 = 512e6;

/// The command line of a job that measures these works.
pub fn words(job: &str, specs: impl Iterator<Item = String>) -> String {
    format!("run={job} bench={}", specs.collect::<Vec<_>>().join(","))
}

/// Requests on one kind of disk, and the start by VOF.
pub fn disk(
    parts: &Parts,
    effort: Effort,
    system: System,
    backend: Backend,
    results: &mut Results,
) -> Result<(), GuestError> {
    let time = effort.milliseconds;
    // With a null disk the lower bound is the copy, so the copies are measured, too.
    let copies = (system, backend) == (System::PosternBounced, Backend::Null);
    let job = if copies { "bench-blk,bench-copy" } else { "bench-blk" };
    let words = words(job, DISK.iter().map(|work| format!("{}:{time}", work.spec)));
    let Some(guest) = Guest::start(parts, &GuestConfig::disk(system, backend, words))? else { return Ok(()) };
    let ready = guest.until("postern: bench.ready=")?;
    let row = Row {
        group: START.to_owned(),
        name: "QEMU start to drivers ready, VOF".to_owned(),
        unit: "s",
        more_is_better: false,
    };
    results.add(&row, system, ready.as_secs_f64());
    let report = guest.finish()?;
    opening(&report, system, results);
    for (number, work) in DISK.iter().enumerate() {
        let (key, unit, scale) = if work.in_bytes { ("kb_s", "MB/s", 1e-3) } else { ("iops", "IOPS", 1.0) };
        let Some(figure) = report.number(&format!("bench.{number}.{key}")) else { continue };
        let row =
            Row { group: backend.name().to_owned(), name: work.name.to_owned(), unit, more_is_better: true };
        results.add(&row, system, figure as f64 * scale);
        if let (true, Some(kb_s)) = (work.in_bytes, report.number(&format!("bench.copy.{number}.kb_s"))) {
            results.add(&row, System::PrivateCopy, kb_s as f64 * scale);
        }
    }
    Ok(())
}

/// The time of a request without QEMU's main loop. One guest of each system is enough: most of Linux's time is its start.
pub fn threaded(
    parts: &Parts,
    effort: Effort,
    system: System,
    results: &mut Results,
) -> Result<(), GuestError> {
    let time = effort.milliseconds / 5;
    let works: Vec<_> = DISK.iter().take(2).cycle().take(2 * REPEATED).collect();
    let words = words("bench-blk", works.iter().map(|work| format!("{}:{time}", work.spec)));
    let Some(guest) = Guest::start(parts, &GuestConfig::disk(system, Backend::Threaded, words))? else {
        return Ok(());
    };
    let report = guest.finish()?;
    for (number, work) in works.iter().enumerate() {
        let Some(iops) = report.number(&format!("bench.{number}.iops")) else { continue };
        let group = Backend::Threaded.name().to_owned();
        let row = Row { group, name: work.name.to_owned(), unit: "IOPS", more_is_better: true };
        results.add(&row, system, iops as f64);
    }
    Ok(())
}

/// The boot's facts about the pool, and the heap's size at the end.
fn opening(report: &Report, system: System, results: &mut Results) {
    let mut add = |name: &str, unit, figure| {
        let row = Row { group: START.to_owned(), name: name.to_owned(), unit, more_is_better: false };
        results.add(&row, system, figure);
    };
    if let (Some(128), Some(took)) = (report.number("pool.frames"), opened_in(report)) {
        add(OPENING, "ms", took);
    }
    if let Some(bytes) = report.number("heap.used") {
        add("private heap in use at the end", "KiB", bytes as f64 / 1024.0);
    }
}

/// Milliseconds for sharing, verifying and mapping the pool.
pub fn opened_in(report: &Report) -> Option<f64> {
    let (share, map) = (report.number("pool.share_us")?, report.number("tce0.map_us")?);
    Some((share + map) as f64 / 1000.0)
}

/// Allocation and release of a slot, by how full the pool is, in pools of 8 and 256 MiB: only the bookkeeping.
pub fn slots(parts: &Parts, results: &mut Results) -> Result<(), GuestError> {
    // The measured pool has no memory, so an ordinary guest without a disk is enough.
    let system = System::PosternDirect;
    for (size, said) in [("8M", "8 MiB"), ("256M", "256 MiB")] {
        let words = format!("pool={size} run=bench-pool");
        let config =
            GuestConfig { counted: true, backend: None, ..GuestConfig::disk(system, Backend::Null, words) };
        let Some(guest) = Guest::start(parts, &config)? else { return Ok(()) };
        let report = guest.finish()?;
        for number in 0.. {
            let fact = |key: &str| report.number(&format!("bench.slot.{number}.{key}"));
            let (Some(fill), Some(ticks)) = (fact("fill"), fact("ticks")) else { break };
            let Some(pairs @ 1..) = fact("pairs") else { break };
            let name = format!("4 KiB slot taken and freed, pool of {said}, {fill} % in use");
            results.add(&instructions_of(SLOTS, name), system, each(ticks, pairs));
        }
    }
    Ok(())
}

/// The start by SLOF.
pub fn slof(parts: &Parts, system: System, results: &mut Results) -> Result<(), GuestError> {
    let config = GuestConfig { firmware: Firmware::Slof, ..GuestConfig::network(system) };
    let Some(mut guest) = Guest::start(parts, &config)? else { return Ok(()) };
    let ready = guest.until("postern: net0.serve=ready")?;
    let name = "QEMU start to drivers ready, SLOF".to_owned();
    let row = Row { group: START.to_owned(), name, unit: "s", more_is_better: false };
    results.add(&row, system, ready.as_secs_f64());
    guest.quit();
    guest.finish().map(drop)
}

/// Packets and streams, and the memory of an idle guest.
pub fn net(parts: &Parts, effort: Effort, system: System, results: &mut Results) -> Result<(), GuestError> {
    let config = GuestConfig { words: "run=net-bench".to_owned(), ..GuestConfig::network(system) };
    let Some(mut guest) = Guest::start(parts, &config)? else { return Ok(()) };
    guest.until("postern: net0.serve=ready")?;
    let resident = guest.resident();
    let ports = guest.ports()?;
    let time = Duration::from_secs_f64(effort.network_seconds);
    let figures = network::all(ports.udp, ports.tcp, time).map_err(GuestError::Exchange)?;
    let (sink, source) = (guest.ports_of(9)?, guest.ports_of(19)?);
    let measured = || -> std::io::Result<[f64; 4]> {
        Ok([
            network::stream_in(sink.tcp, Until::Passed(time))?.millions(),
            network::stream_out(source.tcp, Until::Passed(time))?.millions(),
            network::datagrams_out(source.udp, time)?.rate(),
            network::datagrams_in(sink.udp, ports.udp, time)?,
        ])
    };
    let [stream_in, stream_out, datagrams_out, seconds_in] = measured().map_err(GuestError::Exchange)?;
    guest.quit();
    let report = guest.finish()?;
    let mut add = |name: &str, unit, more_is_better, figure| {
        let row = Row { group: NETWORK.to_owned(), name: name.to_owned(), unit, more_is_better };
        results.add(&row, system, figure);
    };
    add("UDP echo, 64 bytes", "packets/s", true, figures.small);
    add("UDP echo, 1400 bytes", "packets/s", true, figures.large);
    add("UDP echo, 64 bytes, time of one", "us", false, figures.round_trip);
    add("TCP echo, each way", "MB/s", true, figures.stream);
    add("TCP to the guest", "MB/s", true, stream_in);
    add("TCP from the guest", "MB/s", true, stream_out);
    add("UDP from the guest, 1400 bytes, asked one by one", "packets/s", true, datagrams_out);
    if let Some(discarded) = report.number("net0.discarded") {
        add("UDP to the guest, 1400 bytes", "packets/s", true, discarded as f64 / seconds_in);
    }
    if let Some(ping) = report.number("net0.ping_us") {
        add("ping of QEMU's gateway", "us", false, ping as f64);
    }
    if let Some(bytes) = resident {
        let row = Row {
            group: START.to_owned(),
            name: "memory that QEMU holds when the guest is idle".to_owned(),
            unit: "MiB",
            more_is_better: false,
        };
        results.add(&row, system, bytes as f64 / f64::from(1 << 20));
    }
    Ok(())
}

/// With `-icount shift=0` a nanosecond of the guest's clock is one instruction, on every machine.
pub fn instructions(parts: &Parts, system: System, results: &mut Results) -> Result<(), GuestError> {
    let works = [
        ("4 KiB random read, depth 1", "read:4096:1:random"),
        ("4 KiB random read, depth 32", "read:4096:32:random"),
        ("1 MiB read, depth 8", "read:1048576:8:seq"),
    ];
    let words = words("bench-blk", works.iter().map(|(_, spec)| format!("{spec}:100")));
    let config = GuestConfig { counted: true, ..GuestConfig::disk(system, Backend::Null, words) };
    let Some(guest) = Guest::start(parts, &config)? else { return Ok(()) };
    let report = guest.finish()?;
    for (number, (name, _)) in works.iter().enumerate() {
        let fact = |key: &str| report.number(&format!("bench.{number}.{key}"));
        let (Some(ticks), Some(requests @ 1..)) = (fact("ticks"), fact("requests")) else { continue };
        let busy = ticks.saturating_sub(fact("idle").unwrap_or(0));
        results.add(&instructions_of(INSTRUCTIONS, format!("{name}, each")), system, each(busy, requests));
    }
    Ok(())
}

/// A row of instructions.
pub fn instructions_of(group: &str, name: String) -> Row {
    Row { group: group.to_owned(), name, unit: "instructions", more_is_better: false }
}

/// Instructions per item: `count` items took `ticks` in a guest with counted instructions.
pub fn each(ticks: u64, count: u64) -> f64 {
    ticks as f64 * 1e9 / TIMEBASE_HZ / count as f64
}
