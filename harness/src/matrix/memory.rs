//! The guest's memory map, and deliberate breaches of its rules.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::observe::map;
use crate::session::Finished;
use crate::variable::{Cpu, Firmware};
use postern_ultravisor::FRAME_SIZE;
use postern_ultravisor::doctor::Edit;
use std::ops::Range;

/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// A load or store that the map forbids.
const DATA_STORAGE: u64 = 0x300;
/// A fetch that the map forbids.
const INSTRUCTION_STORAGE: u64 = 0x400;

/// MiB of memory of the largest machine.
const LARGE: u64 = 64 << 10;
/// Most bytes of memory that the heap does not fill.
const USED: u64 = 64 << 20;
/// Most bytes at the end of memory that the heap does not fill: it takes blocks of at least 1 MiB, and with `-bios` the
/// tree lies there.
const ROUNDING: u64 = 8 << 20;

/// Start of the tree's reservation in large memory where each frame has to be brought in: from above 4 GiB to below the
/// top.
const MIDDLE_START: u64 = 17 << 28;
const MIDDLE: u64 = 59 << 30;
/// Bytes that one pair of calls brings in, except at the end of a memory range or of a block; blocks have 1 GiB.
const BATCH: u64 = 16 << 20;
const PIECES: u64 = 16;

/// Where the exception must point, relative to the address that the guest printed.
#[derive(Clone, Copy, Debug)]
enum Points {
    /// DAR there.
    DataAt,
    /// DAR in the frame below: the guard under the stack that starts there.
    DataInGuardBelow,
    /// SRR0 there.
    FetchAt,
}

const BREACHES: [(&str, Points); 6] = [
    ("text-write", Points::DataAt),
    ("data-execute", Points::FetchAt),
    ("pool-execute", Points::FetchAt),
    ("stack-execute", Points::FetchAt),
    ("null-read", Points::DataAt),
    ("stack-overflow", Points::DataInGuardBelow),
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for secure in [true, false] {
        for firmware in Firmware::ALL {
            tests.push(test("map", GuestConfig::new(firmware, secure, true), map_is_sound));
        }
        for (name, points) in BREACHES {
            let config = GuestConfig::new(Firmware::Bios, secure, true);
            tests.push(test(name, config, move |context, config| breach(context, config, name, points)));
        }
    }
    for config in [GuestConfig::new(Firmware::Bios, true, true), GuestConfig::new(Firmware::Vof, false, true)]
    {
        let run = |context: &Context, config| {
            breach(context, config, "other-stack-overflow", Points::DataInGuardBelow)
        };
        tests.push(test("other-stack-overflow", GuestConfig { smp: 3, ..config }, run));
    }
    for (secure, mebibytes) in [(true, 512), (false, 256)] {
        let config = GuestConfig { mebibytes, ..GuestConfig::new(Firmware::Bios, secure, true) };
        tests.push(test("filled", config, |context, config| fill(context, config, &[], 0)));
    }
    let large = GuestConfig { mebibytes: LARGE, ..GuestConfig::new(Firmware::Bios, true, true) };
    tests.push(test("proved-lazily/64G", large, lazy));
    // Each frame has to be brought in: most frames between 4 GiB and the top are reserved.
    tests.push(test("filled/64G", large, |context, config| fill(context, config, &[], MIDDLE)));
    let config = GuestConfig { mebibytes: LARGE, ..GuestConfig::new(Firmware::Vof, false, true) };
    tests.push(test("filled/64G", config, |context, config| fill(context, config, &[LARGE << 20], 0)));
    let nodes = [1 << 30, 3 << 30, 28 << 30, 32 << 30];
    tests.push(test("filled/64G/numa", config, move |context, config| fill(context, config, &nodes, 0)));
    // The rules hold with every firmware and CPU.
    let vof = GuestConfig { cpu: Cpu::Power10, ..GuestConfig::new(Firmware::Vof, true, true) };
    tests.push(test("map/power10", vof, map_is_sound));
    for (name, points) in [("pool-execute", Points::FetchAt), ("text-write", Points::DataAt)] {
        let run = move |context: &Context, config| breach(context, config, name, points);
        tests.push(test(&format!("{name}/power10"), vof, run));
    }
    tests
}

fn test(
    name: &str,
    config: GuestConfig,
    body: impl Fn(&Context, GuestConfig) -> Result<(), Failure> + Send + Sync + 'static,
) -> Test {
    let mode = if config.secure { "secure" } else { "normal" };
    let name = format!("memory/{}/{mode}/{name}", config.firmware.name());
    Test::new(name, move |context| body(context, config))
}

fn map_is_sound(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.word("run=map");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    let memory = judge::memory(&finished);
    let found = map::violations(&finished.report, memory.bytes, &memory.shared.now, &memory.reserved);
    findings.extend(found.into_iter().map(Finding::Map));
    findings.extend(judge::strict(&finished));
    verdict(finished, findings)
}

/// A guest brings in only the memory that it uses.
fn lazy(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.dir.touches_little();
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::exposure(&finished, true));
    findings.extend(judge::ultracalls(&finished, &judge::SECURE_CALLS));
    findings.extend(within(&finished, "memory.accepted", 1..USED));
    findings.extend(within(&finished, "memory.refused", 0..1));
    verdict(finished, findings)
}

/// The heap can use all memory, whatever its size and number of nodes, except the tree's reservation: `reserved` bytes from
/// [`MIDDLE_START`] on.
fn fill(context: &Context, config: GuestConfig, nodes: &[u64], reserved: u64) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    if let Some(protection) = fixture.protection.as_mut().filter(|_| reserved > 0) {
        protection.edits.push(Edit::Reserve(MIDDLE_START, reserved));
    }
    fixture.machine.nodes = nodes.to_vec();
    fixture.dir.touches_little();
    fixture.word("run=memory,map");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::strict(&finished));
    let memory = judge::memory(&finished);
    let found = map::violations(&finished.report, memory.bytes, &memory.shared.now, &memory.reserved);
    findings.extend(found.into_iter().map(Finding::Map));
    // Not used: image, pool, initrd, tree, firmware's memory, and the ultravisor's below 768 MiB.
    let whole = finished.memory - reserved;
    findings.extend(within(&finished, "memory.filled_bytes", whole - USED..whole));
    if config.secure {
        findings.extend(within(&finished, "memory.accepted", whole - USED..whole));
        findings.extend(within(
            &finished,
            "memory.accept_calls",
            1..2 * (whole / BATCH + (whole >> 30) + PIECES),
        ));
    }
    findings.extend(within(&finished, "memory.filled_top", finished.memory - ROUNDING..finished.memory + 1));
    verdict(finished, findings)
}

fn breach(context: &Context, config: GuestConfig, name: &str, points: Points) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    // In a secure VM no report shows an address unless it is asked to.
    fixture.word(&format!("run=breach-{name} report=full"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, EXCEPTION);
    findings.extend(exception(&finished, name, points));
    verdict(finished, findings)
}

fn exception(finished: &Finished, name: &str, points: Points) -> Vec<Finding> {
    let Some(at) = finished.report.number("breach.address") else {
        return vec![Finding::NeverSaid("breach.address")];
    };
    let (vector, key, wanted) = match points {
        Points::DataAt => (DATA_STORAGE, "exception.dar", at..at + 1),
        Points::DataInGuardBelow => (DATA_STORAGE, "exception.dar", at.saturating_sub(FRAME_SIZE)..at),
        Points::FetchAt => (INSTRUCTION_STORAGE, "exception.srr0", at..at + 1),
    };
    let mut findings = Vec::new();
    findings.extend(within(finished, "exception", vector..vector + 1));
    findings.extend(within(finished, key, wanted));
    if name == "null-read" {
        findings.extend(within(finished, "breach.address", 8..9));
    }
    findings
}

fn within(finished: &Finished, key: &'static str, wanted: Range<u64>) -> Option<Finding> {
    let good = finished.report.number(key).is_some_and(|number| wanted.contains(&number));
    (!good).then(|| Finding::Fact {
        key,
        expected: match wanted.end - wanted.start {
            1 => format!("{:#x}", wanted.start),
            _ => format!("{:#x} to {:#x}", wanted.start, wanted.end),
        },
        found: finished.report.fact(key).map(str::to_owned),
    })
}
