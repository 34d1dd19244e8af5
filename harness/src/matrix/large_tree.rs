//! Trees up to QEMU's largest size are read; for larger ones the guest names the size and ends.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::doctor::Edit;
use std::time::Duration;

/// Exit statuses: secure mode failed, bad device tree.
const NOT_SECURE: u8 = 4;
const BAD_TREE: u8 = 2;
/// Host bridges beside the first: QEMU has 31 at most.
const BRIDGES: u32 = 30;
/// Longest time of such a guest: SLOF scans each slot behind each bridge.
const BRIDGES_LIMIT: Duration = LIMIT.saturating_mul(4);
/// Least bytes of a tree with more than 20 host bridges.
const LARGE: u64 = 256 << 10;
/// Most bytes of QEMU's tree (`FDT_MAX_SIZE`), and of one for an ultravisor.
const MOST: usize = 2 << 20;
const MOST_ESM: usize = 1 << 20;
/// Bytes that the boot stage leaves behind a tree for UV_ESM, so that it can grow.
const SPARE: usize = 4096;
/// Properties of one node: nearly as many as a tree may have, in most of its bytes.
const PROPERTIES: usize = 120_000;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for firmware in Firmware::ALL {
        for secure in [true, false] {
            let mode = if secure { "secure" } else { "normal" };
            let name = format!("large-tree/bridges/{}/{mode}", firmware.name());
            tests.push(Test::new(name, move |context| {
                bridges(context, GuestConfig::new(firmware, secure, true))
            }));
        }
    }
    tests.extend([
        Test::new("large-tree/secure/most", |context| secure(context, MOST_ESM - SPARE, 0)),
        Test::new("large-tree/secure/more", |context| secure(context, MOST_ESM - SPARE + 4, NOT_SECURE)),
        Test::new("large-tree/normal/most", |context| normal(context, MOST, 0)),
        Test::new("large-tree/normal/more", |context| normal(context, MOST + 4, BAD_TREE)),
        Test::new("large-tree/properties", properties),
    ]);
    tests
}

/// As many host bridges as QEMU has. A disk behind the first is read, and all of them are named.
fn bridges(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    fixture.data_disk(1 << 20)?;
    // A small window is mapped and read back quickly.
    fixture.machine.dma_window = Some(4 << 20);
    fixture.machine.bridges = (1..=BRIDGES).map(|n| format!("spapr-pci-host-bridge,index={n}")).collect();
    fixture.word("pool=1M run=blk-digest");
    let finished = fixture.start()?.finish(BRIDGES_LIMIT);
    let mut findings = judge::end(&finished, 0);
    if finished.report.number("fdt.bytes").is_none_or(|bytes| bytes <= LARGE) {
        findings.push(Finding::NeverSaid("postern: fdt.bytes= of a large tree"));
    }
    verdict(finished, findings)
}

/// Runs a guest that reads a disk, with a tree that was changed before its first instruction.
fn changed(context: &Context, edits: Vec<Edit>, words: &str) -> Result<Finished, Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    // QEMU puts its tree 2 MiB below 2 GiB or the end of memory. A larger one needs memory behind it.
    fixture.machine.memory = 4 << 30;
    fixture.data_disk(1 << 20)?;
    if let Some(protection) = &mut fixture.protection {
        protection.edits = edits;
    }
    fixture.word(words);
    fixture.boot()
}

fn judged(finished: Finished, status: u8, says: &'static str) -> Result<(), Failure> {
    let mut findings = judge::end(&finished, status);
    if status != 0 && !finished.output.console.contains(says) {
        findings.push(Finding::NeverSaid(says));
    }
    verdict(finished, findings)
}

/// A tree of `bytes` for a secure guest, behind which UV_ESM needs [`SPARE`] bytes.
fn secure(context: &Context, bytes: usize, status: u8) -> Result<(), Failure> {
    let finished = changed(context, vec![Edit::Fill(bytes)], "run=blk-digest")?;
    judged(finished, status, "UV_ESM not issued: device tree of ")
}

/// A tree of `bytes` for a guest with `svm=off`.
fn normal(context: &Context, bytes: usize, status: u8) -> Result<(), Failure> {
    case!("DT-02", Halt, Q);
    let finished = changed(context, vec![Edit::Fill(bytes)], "svm=off run=blk-digest")?;
    judged(finished, status, "totalsize")
}

/// The node that is read most often has so many properties that a reader with quadratic time would exceed the runner's
/// usual limit.
fn properties(context: &Context) -> Result<(), Failure> {
    let properties = (0..PROPERTIES).map(|_| ("x".to_owned(), Vec::new())).collect();
    let finished = changed(context, vec![Edit::Properties("chosen", properties)], "svm=off run=blk-digest")?;
    judged(finished, 0, "")
}
