//! Status 0 means that all the work was done. Here the machine cannot do it, or its devices change before it begins.

use crate::disk::{self, Disk};
use crate::finding::Finding;
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::refusing::{self, Served, Violations};
use crate::matrix::runner::Test;
use crate::qemu::monitor::Monitor;
use crate::variable::{Firmware, Net};
use postern_adversary::violation::ProtocolViolation;
use postern_cases::case;
use sha2::{Digest, Sha256};

/// Exit status: a device is missing, refused or broken, or could not do its work.
const DEVICE: u8 = 6;
const DATA_BYTES: u64 = 2 << 20;

/// Steps for which there is no device, and the guest's message.
const NOTHING: [(&str, &str); 9] = [
    ("demo", "there is no disk or network card"),
    ("blk-digest", "there is no data disk"),
    ("blk-pattern", "there is no disk with serial number scratch"),
    ("blk-smp", "there is no disk"),
    ("blk-discard", "there is no disk with serial number scratch"),
    ("irq-cost", "there is no disk"),
    ("net-serve", "there is no network card"),
    ("net-bench", "there is no network card"),
    ("soak", "there is no disk or network card"),
];

/// Steps that only the test image knows.
const TEST_STEPS: [&str; 4] = ["blk-discard", "irq-cost", "net-bench", "soak"];

/// The image that knows the step.
fn image_for(context: &Context, step: &str) -> Context {
    if TEST_STEPS.contains(&step) { context.on_test_image() } else { context.clone() }
}

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = NOTHING
        .map(|(step, said)| {
            Test::new(format!("honesty/nothing/{step}"), move |context| nothing(context, step, said))
        })
        .into();
    tests.push(Test::new("honesty/each-disk-its-turn", each_disk));
    for (step, pieces) in [("soak", (6, 5)), ("blk-smp,blk-digest", (4, 3))] {
        let body = move |context: &Context| other_disk(context, step, pieces);
        tests.push(Test::new(format!("honesty/each-disk-its-turn/{}", step.replace(',', "-")), body));
    }
    tests.push(Test::new("honesty/tail", tail));
    for (name, bytes) in [("grows", DATA_BYTES + (1 << 20)), ("shrinks", DATA_BYTES / 2)] {
        tests.push(Test::new(format!("honesty/resize/{name}"), move |context| resize(context, bytes)));
    }
    tests
}

/// A machine without a device.
fn nothing(context: &Context, step: &str, said: &'static str) -> Result<(), Failure> {
    let _ = case!("OUT-05", Fail, Q);
    let mut fixture = Fixture::new(&image_for(context, step), GuestConfig::new(Firmware::Vof, true, true))?;
    fixture.word(&format!("run=map,{step} serve=1"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, DEVICE);
    findings.extend(judge::fact(&finished, "work.done", "1"));
    if !finished.output.console.contains(said) {
        findings.push(Finding::NeverSaid(said));
    }
    verdict(finished, findings)
}

/// The first disk violates the protocol; the error names it, and the second one is read all the same.
fn each_disk(context: &Context) -> Result<(), Failure> {
    let _ = case!("OUT-06", Fail, Q);
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, false))?;
    fixture.data_disk(DATA_BYTES)?;
    let other = fixture.dir.path("other");
    disk::make(&other, DATA_BYTES, seed()).map_err(|error| Finding::File(other.clone(), error))?;
    fixture.machine.disks.push(Disk::data(other.clone()));
    fixture.word("run=demo");
    let violations = Violations { disk: Some(ProtocolViolation::Blk01), ..Violations::default() };
    let Served { session, servers, .. } = refusing::start(&mut fixture, violations)?;
    let finished = session.finish(LIMIT);
    servers.finish().map_err(Finding::Server)?;
    let mut findings = judge::end(&finished, DEVICE);
    const NAMED: &str = "error: blk0: sector 512: undefined status";
    if !finished.output.console.contains(NAMED) {
        findings.push(Finding::NeverSaid(NAMED));
    }
    let first = disk::sha256(&other, 1 << 20).map_err(|error| Finding::File(other, error))?;
    findings.extend(judge::fact(&finished, "blk1.sha256_1m", &first));
    // Two disks and a card without a peer.
    findings.extend(judge::fact(&finished, "work.asked", "3"));
    findings.extend(judge::fact(&finished, "work.done", "1"));
    verdict(finished, findings)
}

/// As [`each_disk`], for a step that works on its disks together; `pieces` are the units of work asked for and done.
fn other_disk(context: &Context, steps: &str, pieces: (u32, u32)) -> Result<(), Failure> {
    let _ = case!("OUT-06", Fail, Q);
    let mut fixture =
        Fixture::new(&image_for(context, steps), GuestConfig::new(Firmware::Bios, true, false))?;
    fixture.machine.smp = 2;
    fixture.data_disk(DATA_BYTES)?;
    let other = fixture.dir.path("other");
    disk::make(&other, DATA_BYTES, seed()).map_err(|error| Finding::File(other.clone(), error))?;
    fixture.machine.disks.push(Disk::data(other.clone()));
    fixture.word(&format!("run={steps}"));
    if steps == "soak" {
        fixture.word("serve=2");
    }
    let violations = Violations { disk: Some(ProtocolViolation::Blk01), ..Violations::default() };
    let Served { mut session, servers, .. } = refusing::start(&mut fixture, violations)?;
    if steps == "soak" {
        const CALM: &str = "postern: soak.state=calm";
        drop(session.qemu.console().wait_for(LIMIT, |line| line == CALM));
        drop(session.qemu.type_in(b"q"));
    }
    let finished = session.finish(LIMIT);
    servers.finish().map_err(Finding::Server)?;
    let mut findings = judge::end(&finished, DEVICE);
    const NAMED: &str = "error: blk0: ";
    if !finished.output.console.contains(NAMED) {
        findings.push(Finding::NeverSaid(NAMED));
    }
    let whole = disk::sha256(&other, DATA_BYTES).map_err(|error| Finding::File(other, error))?;
    findings.extend(judge::fact(&finished, "blk1.sha256", &whole));
    findings.extend(judge::fact(&finished, "work.asked", &pieces.0.to_string()));
    findings.extend(judge::fact(&finished, "work.done", &pieces.1.to_string()));
    verdict(finished, findings)
}

/// A disk of 4 KiB blocks that ends in the middle of one.
fn tail(context: &Context) -> Result<(), Failure> {
    let _ = case!("BLK-15", Fail, Q);
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, true, true))?;
    fixture.data_disk(DATA_BYTES + 3 * 512)?;
    fixture.machine.extra.extend(["-global", "virtio-blk-pci.logical_block_size=4096"].map(str::to_owned));
    fixture.machine.extra.extend(["-global", "virtio-blk-pci.physical_block_size=4096"].map(str::to_owned));
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, DEVICE);
    findings.extend(judge::fact(&finished, "blk0.tail_bytes", "1536"));
    const SAID: &str = "blk0: the disk's last 1536 bytes are no whole block of 4096";
    if !finished.output.console.contains(SAID) {
        findings.push(Finding::NeverSaid(SAID));
    }
    verdict(finished, findings)
}

/// The disk's size changes while the guest does other work.
fn resize(context: &Context, bytes: u64) -> Result<(), Failure> {
    let _ = case!("BLK-16", Work, Q);
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, true, true))?;
    let image = fixture.data_disk(DATA_BYTES)?;
    fixture.machine.net = Net::User;
    fixture.machine.monitor = Some(fixture.dir.path("monitor"));
    fixture.word("run=net-serve,blk-digest serve=60 ip=10.0.2.15/24");
    let mut content = std::fs::read(&image).map_err(|error| Finding::File(image, error))?;
    content.resize(usize::try_from(bytes).unwrap_or(0), 0);
    let expected: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    }
    if let Some(socket) = &session.machine.monitor {
        let resized = Monitor::connect(socket).and_then(|mut monitor| monitor.resize(0, bytes));
        findings.extend(resized.err().map(Finding::Monitor));
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    findings.extend(judge::fact(&finished, "blk0.sha256_bytes", &bytes.to_string()));
    verdict(finished, findings)
}
