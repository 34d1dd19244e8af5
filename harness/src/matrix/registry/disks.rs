//! The tests of disks can fail: on a disk with one fault the test for that fault fails, and every other one passes.

use crate::finding::Finding;
use crate::guest::tap::{Tap, Verdict};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::servers::Servers;
use crate::variable::Firmware;
use postern_adversary::disk_fault::DiskFault::{self, *};
use workloads::registry::Test as Guest;
use workloads::registry::Test::*;

pub const BYTES: u64 = 2 << 20;

/// Exit status: a test failed.
const TEST_FAILED: u8 = 14;
const SCRATCH: &str = "scratch";
const DATA: &str = "data";
/// The guest's messages for data that differs from the written data, and for a request that the disk failed.
const DIFFERENT: &str = "does not read back as written";
const FAILED: &str = "I/O error";

/// A disk with one fault, and the tests that find it.
#[derive(Clone, Copy)]
pub struct Row {
    fault: DiskFault,
    name: &'static str,
    /// The disk's name.
    serial: &'static str,
    /// The tests that find the fault, each with a part of its message.
    pub found_by: &'static [(Guest, &'static str)],
}

const fn row(
    fault: DiskFault,
    name: &'static str,
    serial: &'static str,
    found_by: &'static [(Guest, &'static str)],
) -> Row {
    Row { fault, name, serial, found_by }
}

/// Every fault.
pub const ROWS: [Row; 13] = [
    row(OtherBytes, "other-bytes", DATA, &[(BlkRead, "with small requests")]),
    row(ChangingBlocks, "changing-blocks", DATA, &[(BlkReadOnly, DIFFERENT)]),
    row(OtherQueue, "other-queue", DATA, &[(BlkQueues, "with another queue")]),
    row(OtherName, "other-name", DATA, &[(BlkId, "GET_ID returns")]),
    row(TwiceTheSize, "twice-the-size", DATA, &[(BlkLimits, FAILED)]),
    row(FewSegments, "few-segments", DATA, &[(BlkSegments, FAILED)]),
    row(ShortBest, "short-best", DATA, &[(BlkTopology, "bytes of the best request")]),
    row(LostBlocks, "lost-blocks", SCRATCH, &[(BlkWrite, DIFFERENT), (BlkFlush, DIFFERENT)]),
    row(WideWrites, "wide-writes", SCRATCH, &[(BlkWrite, DIFFERENT)]),
    row(FailedFlushes, "failed-flushes", SCRATCH, &[(BlkFlush, FAILED)]),
    row(WideDiscards, "wide-discards", SCRATCH, &[(BlkDiscard, DIFFERENT)]),
    row(RoundedDiscards, "rounded-discards", SCRATCH, &[(BlkDiscard, DIFFERENT)]),
    row(KeptBytes, "kept-bytes", SCRATCH, &[(BlkWriteZeroes, DIFFERENT)]),
];

/// A boot test for each row.
pub fn tests() -> Vec<Test> {
    let test =
        |row: Row| Test::new(format!("registry/disk/{}", row.name), move |context| finds(context, row));
    ROWS.into_iter().map(test).collect()
}

fn finds(context: &Context, Row { fault, serial, found_by, .. }: Row) -> Result<(), Failure> {
    let config = GuestConfig { smp: 2, queues: Some(1), ..GuestConfig::new(Firmware::Vof, false, false) };
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    let (image, socket) = (fixture.dir.path("faulty"), fixture.dir.path("socket"));
    crate::disk::make(&image, BYTES, 1).map_err(|error| Finding::File(image.clone(), error))?;
    if serial != SCRATCH {
        fixture.scratch_disk(BYTES)?;
    }
    let memory = fixture.dir.memory(fixture.machine.memory);
    let memory = memory.map_err(|error| Finding::File(fixture.dir.root().to_path_buf(), error))?;
    fixture.machine.memory_file = Some(memory);
    let queues = if fault == OtherQueue { 2 } else { 1 };
    let device = format!("vhost-user-blk-pci,chardev=faulty,num-queues={queues},disable-legacy=on");
    let chardev = format!("socket,id=faulty,path={}", socket.display());
    let words = ["-chardev".to_owned(), chardev, "-device".to_owned(), device];
    fixture.machine.extra.extend(words);
    fixture.word("test=blk/* device-timeout=5");
    let mut servers = Servers::new(false);
    servers.faulty_disk((&image, serial), &socket, fault).map_err(Finding::Server)?;
    let finished = fixture.start()?.finish(LIMIT);
    drop(servers.finish());
    let mut findings = judge::end(&finished, TEST_FAILED);
    let tap = Tap::read(&finished.output.console);
    if !tap.is_whole() {
        let expected = tap.planned.unwrap_or(0);
        findings.push(Finding::Plan { planned: tap.planned, came: tap.tests.len(), expected });
    }
    let entries = workloads::registry::TESTS.iter().filter(|entry| entry.name.starts_with("blk/"));
    for entry in entries {
        let words = found_by.iter().find(|(test, _)| *test == entry.test).map(|(_, words)| *words);
        let verdict = tap.verdict(entry.name);
        let right = match (words, verdict) {
            (Some(words), Some(Verdict::NotOk(reason))) => reason.contains(words),
            (None, Some(Verdict::Ok | Verdict::Skip(_))) => true,
            _ => false,
        };
        if !right {
            let expected = words.map_or(Verdict::Ok, |words| Verdict::NotOk(words.to_owned()));
            findings.push(Finding::GuestTest { name: entry.name, expected, found: verdict.cloned() });
        }
    }
    verdict(finished, findings)
}
