//! The boot stage reads the tree from firmware and flattens it: the result is the tree that QEMU gave to firmware.

use crate::finding::Finding;
use crate::guest::report;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT};
use crate::matrix::runner::Test;
use crate::qemu::monitor::Monitor;
use crate::qemu::process::Qemu;
use crate::session::{Session, SessionError};
use crate::tree;
use crate::variable::{Cpu, Firmware, Net};
use postern_ultravisor::fdt::Fdt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Interval of the checks whether the monitor's socket exists.
const TICK: Duration = Duration::from_millis(10);
/// The largest tree that is read.
const MOST_BYTES: u64 = 2 << 20;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for firmware in [Firmware::Slof, Firmware::Vof] {
        let small = GuestConfig::new(firmware, false, false);
        let large =
            GuestConfig { cpu: Cpu::Power10, smp: 2, mebibytes: 1024, access_platform: true, ..small };
        for (suffix, config) in [("", small), ("/power10", large)] {
            let name = format!("device-tree/{}{suffix}", firmware.name());
            tests.push(Test::new(name, move |context| agrees(context, config)));
        }
    }
    tests
}

fn agrees(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.data_disk(1 << 20)?;
    fixture.machine.net = Net::User;
    fixture.machine.uart = Some(fixture.dir.path("uart"));
    fixture.word("run=blk-digest");
    let memory = fixture.dir.memory(fixture.machine.memory);
    fixture.machine.memory_file =
        Some(memory.map_err(|error| Finding::File(fixture.dir.root().to_path_buf(), error))?);

    let given = given(&fixture)?;
    let session = fixture.start()?;
    let flattened = flattened(&fixture, &session);
    let output = session.qemu.stop();
    let findings = match flattened {
        Ok(flattened) => {
            let differences = tree::unexpected(config.firmware, &given, &flattened);
            differences.into_iter().map(Finding::Tree).chain(agreed(&flattened)).collect()
        }
        Err(finding) => vec![finding],
    };
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(output) }) }
}

/// Checks the result of firmware's and the kernel's negotiation: XICS, radix, and that the guest invalidates translations
/// itself. The property is option vector 5; its bytes, counted from 1, follow a byte with the length minus 1.
fn agreed(flattened: &Fdt) -> Option<Finding> {
    const CHOICES: [(usize, u8); 3] = [(23, 0), (24, 0x40), (26, 0x40)];
    let vector = flattened.node("/chosen").and_then(|chosen| chosen.property("ibm,architecture-vec-5"));
    let is = |&(number, value): &(usize, u8)| vector.and_then(|bytes| bytes.get(number)) == Some(&value);
    (!CHOICES.iter().all(is)).then(|| Finding::Fact {
        key: "ibm,architecture-vec-5",
        expected: format!("{CHOICES:?}"),
        found: vector.map(|bytes| format!("{bytes:?}")),
    })
}

/// QEMU's tree for this machine, read through its monitor at reset: `-machine dumpdtb=` of QEMU 10 runs before the
/// tree exists.
fn given(fixture: &Fixture) -> Result<Fdt, Failure> {
    let path = fixture.dir.path("given.dtb");
    let socket = fixture.dir.path("monitor");
    let mut machine = fixture.machine.clone();
    machine.at_reset = true;
    machine.monitor = Some(socket.clone());
    let qemu = Qemu::start(&machine, None).map_err(|error| Finding::Start(SessionError::Qemu(error)))?;
    let deadline = Instant::now() + LIMIT;
    while !socket.exists() && !qemu.has_ended() && Instant::now() < deadline {
        std::thread::sleep(TICK);
    }
    let dumped = Monitor::connect(&socket).and_then(|mut monitor| monitor.dump_tree(&path));
    let output = qemu.stop();
    let read = dumped
        .map_err(Finding::Monitor)
        .and_then(|()| std::fs::read(&path).map_err(|error| Finding::File(path, error)));
    let tree = read.and_then(|bytes| Fdt::parse(&bytes).map_err(Finding::Fdt));
    tree.map_err(|finding| Failure { findings: vec![finding], output: Some(output) })
}

/// The tree in the guest's memory, once the guest has printed its address.
fn flattened(fixture: &Fixture, session: &Session) -> Result<Fdt, Finding> {
    const SIZE: &str = "postern: fdt.bytes=";
    let console = session.qemu.console();
    console.wait_for(LIMIT, |line| line.starts_with(SIZE)).ok_or(Finding::NeverSaid(SIZE))?;
    let report = report::Report::parse(&console.text());
    let address = report.fact("fdt.addr").and_then(|text| text.strip_prefix("0x"));
    let address = address.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let address = address.ok_or(Finding::NeverSaid("postern: fdt.addr="))?;
    let size = report.number("fdt.bytes").filter(|size| *size <= MOST_BYTES);
    let size = size.ok_or(Finding::NeverSaid(SIZE))?;
    let file = fixture.machine.memory_file.as_deref().unwrap_or(Path::new("memory"));
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let read = File::open(file).and_then(|memory| memory.read_exact_at(&mut bytes, address));
    read.map_err(|error| Finding::File(file.to_path_buf(), error))?;
    Fdt::parse(&bytes).map_err(Finding::Fdt)
}
