//! The matrix: {slof, vof, bios} x {secure, normal} x {ACCESS_PLATFORM on, off}, and machines of other sizes.
//! In each combination the guest reads a disk, overwrites a disk and answers the network, and the host checks all
//! three and what was exposed.

use crate::finding::{Finding, digest};
use crate::judge::{self, SECURE_CALLS};
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::partition;
use crate::pattern;
use crate::peer::echo;
use crate::qemu::monitor::Monitor;
use crate::session::{Finished, Session};
use crate::variable::{Cpu, Firmware, Net};
use std::fs::File;
use std::path::Path;

/// Not a multiple of any slot or request size.
const DATA_BYTES: u64 = (4 << 20) + 3 * 512;
const SCRATCH_BYTES: u64 = (2 << 20) + 512;

pub use crate::matrix::fixture::{PAGE, SERVING};

/// All combinations.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for firmware in Firmware::ALL {
        for secure in [true, false] {
            for ap in [true, false] {
                tests.push(combination(
                    "",
                    GuestConfig { whole_window: true, ..GuestConfig::new(firmware, secure, ap) },
                ));
            }
        }
    }
    let others = [
        GuestConfig::new(Firmware::Slof, true, true),
        GuestConfig::new(Firmware::Vof, true, false),
        GuestConfig::new(Firmware::Vof, false, true),
        GuestConfig::new(Firmware::Bios, true, true),
        GuestConfig::new(Firmware::Bios, false, false),
    ];
    for config in others {
        tests.push(combination("/power10", GuestConfig { cpu: Cpu::Power10, ..config }));
        tests.push(combination("/smp-2", GuestConfig { smp: 2, ..config }));
        tests.push(combination("/smp-4", GuestConfig { smp: 4, ..config }));
        tests.push(combination("/256M", GuestConfig { mebibytes: 256, ..config }));
        tests.push(combination("/4G", GuestConfig { mebibytes: 4096, ..config }));
    }
    // Without vector registers, memory is copied by doublewords.
    for secure in [true, false] {
        let config = GuestConfig { vectors: false, smp: 2, ..GuestConfig::new(Firmware::Bios, secure, true) };
        tests.push(combination("/smp-2/no-vectors", config));
    }
    tests.push(combination(
        "/no-vectors",
        GuestConfig { vectors: false, ..GuestConfig::new(Firmware::Vof, true, true) },
    ));
    // Fewer queues than CPUs are shared; more than CPUs are not all used. Both kinds of completion.
    for (secure, smp, queues) in [(true, 4, 2), (false, 4, 1), (true, 2, 8)] {
        let config =
            GuestConfig { smp, queues: Some(queues), ..GuestConfig::new(Firmware::Bios, secure, true) };
        tests.push(combination(&format!("/smp-{smp}/queues-{queues}"), config));
    }
    // Without a 64-bit window, buffers are mapped one by one.
    for firmware in Firmware::ALL {
        let config = GuestConfig::new(firmware, false, true);
        let smp = if firmware == Firmware::Bios { 2 } else { 1 };
        tests.push(combination("/no-ddw", GuestConfig { dynamic_windows: false, smp, ..config }));
    }
    tests
}

fn combination(suffix: &str, config: GuestConfig) -> Test {
    let mode = if config.secure { "secure" } else { "normal" };
    let ap = if config.access_platform { "ap-on" } else { "ap-off" };
    Test::new(format!("{}/{mode}/{ap}{suffix}", config.firmware.name()), move |context| run(context, config))
}

fn run(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    let seed = seed();
    let data = fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.machine.net = Net::User;
    // The guest stops serving when told; the limit only bounds a failed test.
    let disk_work = if config.smp == 1 { "blk-digest,blk-pattern" } else { "blk-smp" };
    fixture.word(&format!("run={disk_work},net-serve serve=100 seed={seed}"));
    let expected = digest(&data)?;
    let mut session = fixture.start()?;
    let mut findings = exchange(&mut session, seed);
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(facts(&finished, config, &expected));
    if config.smp > 1 {
        findings.extend(work_of_all(&finished, config, &data));
    }
    findings.extend(disks(&data, &expected, &scratch, seed));
    findings.extend(mode(&finished, config));
    verdict(finished, findings)
}

/// Waits until the guest serves, exchanges data with it, and tells it to stop.
pub fn exchange(session: &mut Session, seed: u64) -> Vec<Finding> {
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        return vec![Finding::NeverSaid(SERVING)];
    }
    exchange_and_end(session, seed, true)
}

/// Exchanges data with a guest that serves the network, checks its rings if it is observed, and tells it to stop.
pub fn exchange_and_end(session: &mut Session, seed: u64, observed: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(socket) = &session.machine.monitor else { return findings };
    let asked = Monitor::connect(socket).and_then(|mut monitor| Ok((monitor.forwarded()?, monitor)));
    match asked {
        Ok((ports, mut monitor)) => {
            findings.extend(echo::all(ports, seed).err().map(Finding::Echo));
            if observed {
                findings.extend(judge::rings(session, &mut monitor));
            }
        }
        Err(error) => findings.push(Finding::Monitor(error)),
    }
    // A guest that has ended already is checked by its end.
    drop(session.qemu.type_in(b"q"));
    findings
}

fn facts(finished: &Finished, config: GuestConfig, digest: &str) -> Vec<Finding> {
    let translation = if config.access_platform { "tce" } else { "gpa" };
    let bounced = if config.secure { "yes" } else { "no" };
    let capacity = DATA_BYTES.to_string();
    let (online, answered) = (config.smp.to_string(), (config.smp - 1).to_string());
    let vectors = if config.vectors { online.as_str() } else { "0" };
    let mut wanted = vec![
        ("entry", judge::entry(config.firmware)),
        ("mode", if config.secure { "secure-emulated" } else { "normal" }),
        ("firmware.cas", if config.firmware == Firmware::Bios { "none" } else { "agreed" }),
        // Without firmware there is no RTAS area, so the hypervisor does not accept the handlers.
        ("nmi.handlers", if config.firmware == Firmware::Bios { "vectors" } else { "registered" }),
        ("cpu.online", &online),
        ("cpu.answered", &answered),
        ("cpu.vectors", vectors),
        ("blk0.capacity_bytes", &capacity),
        ("blk0.read_only", "no"),
        ("blk0.id", "data"),
        ("net0.ip", "10.0.2.15"),
        ("net0.serve", "done"),
    ];
    if config.smp == 1 {
        wanted.push(("blk0.sha256", digest));
    }
    for (translated, copied) in [
        ("blk0.translation", "blk0.bounced"),
        ("blk1.translation", "blk1.bounced"),
        ("net0.translation", "net0.bounced"),
    ] {
        wanted.extend([(translated, translation), (copied, bounced)]);
    }
    if config.access_platform {
        wanted.push(("tce0.kind", window(config)));
    }
    if !config.secure {
        wanted.extend([("ultracalls", "0"), ("bytes.to_pool", "0"), ("bytes.from_pool", "0")]);
    }
    wanted.into_iter().filter_map(|(key, value)| judge::fact(finished, key, value)).collect()
}

/// Checks that every CPU did its part of both disks, on a queue of its own if there are enough queues.
fn work_of_all(finished: &Finished, config: GuestConfig, data: &Path) -> Vec<Finding> {
    let queues = config.queues.unwrap_or(config.smp).min(config.smp);
    let report = &finished.report;
    let read = partition::judge(report, "blk0", config.smp, queues, DATA_BYTES, Some(data));
    let written = partition::judge(report, "blk1", config.smp, queues, SCRATCH_BYTES, None);
    let mut findings: Vec<Finding> = read.into_iter().chain(written).map(Finding::Part).collect();
    let interrupts = |disk| partition::interrupts(report, disk, config.smp);
    if queues == config.smp && interrupts("blk0") + interrupts("blk1") == 0 {
        let (key, expected) = ("blkN.cpu.N.interrupts", "more than 0 in all".to_owned());
        findings.push(Finding::Fact { key, expected, found: Some("0".to_owned()) });
    }
    findings
}

/// How devices reach memory through the bridge's windows.
const fn window(config: GuestConfig) -> &'static str {
    match (config.secure, config.dynamic_windows) {
        (true, _) => "pool",
        (false, true) => "direct",
        (false, false) => "on-demand",
    }
}

/// Checks on the host that the disk that was read is unchanged, and that the other holds the pattern.
pub fn disks(data: &Path, expected: &str, scratch: &Path, seed: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    match File::open(scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch.to_path_buf(), error)),
    }
    match digest(data) {
        Ok(found) if found == expected => {}
        Ok(_) => findings.push(Finding::ImageChanged),
        Err(finding) => findings.push(finding),
    }
    findings
}

fn mode(finished: &Finished, config: GuestConfig) -> Vec<Finding> {
    if !config.secure {
        return Vec::new();
    }
    let mut findings = judge::exposure(finished, config.access_platform);
    findings.extend(judge::ultracalls(finished, &SECURE_CALLS));
    findings.extend(judge::counted(finished));
    // Every byte of the disks went through the pool, in both directions.
    for (key, least) in [("bytes.to_pool", SCRATCH_BYTES), ("bytes.from_pool", DATA_BYTES)] {
        if finished.report.number(key).is_none_or(|bytes| bytes < least) {
            let found = finished.report.fact(key).map(str::to_owned);
            findings.push(Finding::Fact { key, expected: format!("at least {least}"), found });
        }
    }
    findings
}
