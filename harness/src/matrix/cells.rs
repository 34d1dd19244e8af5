//! The matrix: {slof, vof, bios} x {secure, normal} x {ACCESS_PLATFORM on, off}, and machines of other sizes.
//! In each cell the guest reads a disk, overwrites a disk and answers the network, and the host checks all
//! three and what was exposed.

use crate::finding::{Finding, digest};
use crate::judge::{self, SECURE_CALLS};
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, seed, verdict};
use crate::pattern;
use crate::peer::echo;
use crate::qemu::monitor::Monitor;
use crate::session::{Finished, Session};
use crate::shares;
use crate::variable::{Cpu, Firmware, Net};
use std::fs::File;
use std::path::Path;

/// Not a multiple of any slot or request size.
const DATA_BYTES: u64 = (4 << 20) + 3 * 512;
const SCRATCH_BYTES: u64 = (2 << 20) + 512;

/// The line that says that the network is served.
pub const SERVING: &str = "postern: net0.serve=ready";

/// All cells.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for firmware in Firmware::ALL {
        for secure in [true, false] {
            for ap in [true, false] {
                tests.push(cell("", Shape { whole_window: true, ..Shape::new(firmware, secure, ap) }));
            }
        }
    }
    let others = [
        Shape::new(Firmware::Slof, true, true),
        Shape::new(Firmware::Vof, true, false),
        Shape::new(Firmware::Vof, false, true),
        Shape::new(Firmware::Bios, true, true),
        Shape::new(Firmware::Bios, false, false),
    ];
    for shape in others {
        tests.push(cell("/power10", Shape { cpu: Cpu::Power10, ..shape }));
        tests.push(cell("/smp-2", Shape { smp: 2, ..shape }));
        tests.push(cell("/smp-4", Shape { smp: 4, ..shape }));
        tests.push(cell("/256M", Shape { mebibytes: 256, ..shape }));
        tests.push(cell("/4G", Shape { mebibytes: 4096, ..shape }));
    }
    // Without vector registers, memory is copied by doublewords.
    for secure in [true, false] {
        let shape = Shape { vectors: false, smp: 2, ..Shape::new(Firmware::Bios, secure, true) };
        tests.push(cell("/smp-2/no-vectors", shape));
    }
    tests.push(cell("/no-vectors", Shape { vectors: false, ..Shape::new(Firmware::Vof, true, true) }));
    // Fewer queues than CPUs are shared, more are left alone; both kinds of completion.
    for (secure, smp, queues) in [(true, 4, 2), (false, 4, 1), (true, 2, 8)] {
        let shape = Shape { smp, queues: Some(queues), ..Shape::new(Firmware::Bios, secure, true) };
        tests.push(cell(&format!("/smp-{smp}/queues-{queues}"), shape));
    }
    // Without a 64-bit window, buffers are mapped one by one.
    for firmware in Firmware::ALL {
        let shape = Shape::new(firmware, false, true);
        let smp = if firmware == Firmware::Bios { 2 } else { 1 };
        tests.push(cell("/no-ddw", Shape { dynamic_windows: false, smp, ..shape }));
    }
    tests
}

fn cell(suffix: &str, shape: Shape) -> Test {
    let mode = if shape.secure { "secure" } else { "normal" };
    let ap = if shape.access_platform { "ap-on" } else { "ap-off" };
    Test::new(format!("{}/{mode}/{ap}{suffix}", shape.firmware.name()), move |context| run(context, shape))
}

fn run(context: &Context, shape: Shape) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    let seed = seed();
    let data = scene.data_disk(DATA_BYTES)?;
    let scratch = scene.scratch_disk(SCRATCH_BYTES)?;
    scene.machine.net = Net::User;
    // The guest ends serving when told so; the limit only keeps a test that went wrong from lasting.
    let disk_work = if shape.smp == 1 { "blk-digest,blk-pattern" } else { "blk-smp" };
    scene.word(&format!("run={disk_work},net-serve serve=100 seed={seed}"));
    let expected = digest(&data)?;
    let mut session = scene.start()?;
    let mut findings = exchange(&mut session, seed);
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(facts(&finished, shape, &expected));
    if shape.smp > 1 {
        findings.extend(work_of_all(&finished, shape, &data));
    }
    findings.extend(disks(&data, &expected, &scratch, seed));
    findings.extend(mode(&finished, shape));
    verdict(finished, findings)
}

/// Waits for the guest to serve, talks to it, tells it to stop.
pub fn exchange(session: &mut Session, seed: u64) -> Vec<Finding> {
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        return vec![Finding::NeverSaid(SERVING)];
    }
    last_words(session, seed, true)
}

/// Talks to a guest that answers the network, looks at its rings if it is observed, tells it to stop.
pub fn last_words(session: &mut Session, seed: u64, observed: bool) -> Vec<Finding> {
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
    // A guest that ended already says so by itself.
    drop(session.qemu.type_in(b"q"));
    findings
}

fn facts(finished: &Finished, shape: Shape, digest: &str) -> Vec<Finding> {
    let translation = if shape.access_platform { "tce" } else { "gpa" };
    let bounced = if shape.secure { "yes" } else { "no" };
    let capacity = DATA_BYTES.to_string();
    let (online, answered) = (shape.smp.to_string(), (shape.smp - 1).to_string());
    let vectors = if shape.vectors { online.as_str() } else { "0" };
    let mut wanted = vec![
        ("entry", judge::entry(shape.firmware)),
        ("mode", if shape.secure { "secure-emulated" } else { "normal" }),
        ("firmware.cas", if shape.firmware == Firmware::Bios { "none" } else { "agreed" }),
        // Without firmware there is no RTAS area, so that the hypervisor does not take the handlers.
        ("nmi.handlers", if shape.firmware == Firmware::Bios { "vectors" } else { "registered" }),
        ("cpu.online", &online),
        ("cpu.answered", &answered),
        ("cpu.vectors", vectors),
        ("blk0.capacity_bytes", &capacity),
        ("blk0.read_only", "no"),
        ("blk0.id", "data"),
        ("net0.ip", "10.0.2.15"),
        ("net0.serve", "done"),
    ];
    if shape.smp == 1 {
        wanted.push(("blk0.sha256", digest));
    }
    for (translated, copied) in [
        ("blk0.translation", "blk0.bounced"),
        ("blk1.translation", "blk1.bounced"),
        ("net0.translation", "net0.bounced"),
    ] {
        wanted.extend([(translated, translation), (copied, bounced)]);
    }
    if shape.access_platform {
        wanted.push(("tce0.kind", window(shape)));
    }
    if !shape.secure {
        wanted.extend([("ultracalls", "0"), ("bytes.to_pool", "0"), ("bytes.from_pool", "0")]);
    }
    wanted.into_iter().filter_map(|(key, value)| judge::fact(finished, key, value)).collect()
}

/// Every CPU did its share of both disks, on a queue of its own as far as there are queues.
fn work_of_all(finished: &Finished, shape: Shape, data: &Path) -> Vec<Finding> {
    let queues = shape.queues.unwrap_or(shape.smp).min(shape.smp);
    let report = &finished.report;
    let read = shares::judge(report, "blk0", shape.smp, queues, DATA_BYTES, Some(data));
    let written = shares::judge(report, "blk1", shape.smp, queues, SCRATCH_BYTES, None);
    let mut findings: Vec<Finding> = read.into_iter().chain(written).map(Finding::Share).collect();
    let interrupts = |disk| shares::interrupts(report, disk, shape.smp);
    if queues == shape.smp && interrupts("blk0") + interrupts("blk1") == 0 {
        let (key, expected) = ("blkN.cpu.N.interrupts", "more than 0 in all".to_owned());
        findings.push(Finding::Fact { key, expected, found: Some("0".to_owned()) });
    }
    findings
}

/// How devices reach memory through the bridge's windows.
const fn window(shape: Shape) -> &'static str {
    match (shape.secure, shape.dynamic_windows) {
        (true, _) => "pool",
        (false, true) => "direct",
        (false, false) => "on-demand",
    }
}

/// What the host reads back: the pattern on one disk, the other as it was.
/// The disk that was read is as it was, and the other holds the pattern.
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

fn mode(finished: &Finished, shape: Shape) -> Vec<Finding> {
    if !shape.secure {
        return Vec::new();
    }
    let mut findings = judge::exposure(finished, shape.access_platform);
    findings.extend(judge::ultracalls(finished, &SECURE_CALLS));
    findings.extend(judge::counted(finished));
    // Every byte of the disks went through the pool, each way.
    for (key, least) in [("bytes.to_pool", SCRATCH_BYTES), ("bytes.from_pool", DATA_BYTES)] {
        if finished.report.number(key).is_none_or(|bytes| bytes < least) {
            let found = finished.report.fact(key).map(str::to_owned);
            findings.push(Finding::Fact { key, expected: format!("at least {least}"), found });
        }
    }
    findings
}
