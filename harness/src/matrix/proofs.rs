//! Memory that is not the VM's, and ultravisors that report success without acting: memory that was not brought in is never
//! used, and only the public pattern of the check is ever written there.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::footprint;
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::{FRAME_SHIFT, FRAME_SIZE, shown};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Exit status: out of memory.
const NO_MEMORY: u8 = 10;
/// Bytes of guest memory.
const MEBIBYTES: u64 = 256;
/// Byte that fills memory that is not the VM's.
const FILL: u8 = 0x5a;

/// One wrong answer about memory.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    faults: &'static str,
    /// Frames outside the slots: offset from the image's end, and size.
    outside: &'static [(u64, u64)],
    status: u8,
    names: &'static str,
}

const MIB: u64 = 1 << 20;
/// Behind the image's end there are UV_ESM's frames, fewer than a MiB, and the pool of 8 MiB; then the heap.
const HEAP: u64 = 9 * MIB;
/// Nearly all memory behind image and pool.
const NEARLY_ALL: &[(u64, u64)] = &[(HEAP, 224 * MIB)];
const NOT_OURS: &str = "is not the VM's";

const CASES: [Case; 7] = [
    Case {
        name: "hole-in-first-heap",
        faults: "",
        outside: &[(HEAP, 8 * FRAME_SIZE)],
        status: 0,
        names: NOT_OURS,
    },
    Case {
        name: "hole-in-growth",
        faults: "",
        outside: &[(HEAP + 40 * MIB, FRAME_SIZE)],
        status: 0,
        names: NOT_OURS,
    },
    Case {
        name: "holes",
        faults: "",
        outside: &[
            (HEAP + 20 * MIB, FRAME_SIZE),
            (HEAP + 36 * MIB, FRAME_SIZE),
            (HEAP + 52 * MIB + 5 * FRAME_SIZE, FRAME_SIZE),
        ],
        status: 0,
        names: NOT_OURS,
    },
    Case {
        name: "hole-in-pool",
        faults: "",
        outside: &[(3 * MIB, FRAME_SIZE)],
        status: 0,
        names: "did not share",
    },
    // The first share is the pool's.
    Case { name: "share-silent", faults: "share:2=silent", outside: &[], status: 0, names: NOT_OURS },
    Case {
        name: "unshare-silent",
        faults: "unshare:1=silent",
        outside: &[],
        status: 0,
        names: "may still be shared",
    },
    Case {
        name: "unshare-never",
        faults: "unshare:silent",
        outside: &[],
        status: NO_MEMORY,
        names: "no private memory",
    },
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("MEM-07", Quarantine, M);
    let _ = case!("MEM-08", Quarantine, M);
    let test = |case: Case| Test::new(format!("proofs/{}", case.name), move |context| run(context, case));
    let mut tests: Vec<Test> = CASES.into_iter().map(test).collect();
    tests.push(Test::new("proofs/nothing-is-ours", |context| {
        let case =
            Case { name: "", faults: "", outside: NEARLY_ALL, status: NO_MEMORY, names: "no private memory" };
        run(context, case)
    }));
    tests
}

/// The guest fills its heap; memory that it gave up has the host's bytes or the public pattern.
fn run(context: &Context, case: Case) -> Result<(), Failure> {
    let config = GuestConfig { mebibytes: MEBIBYTES, ..GuestConfig::new(Firmware::Bios, true, true) };
    let context = &context.on_test_image();
    let mut fixture = Fixture::new(context, config)?;
    let end = footprint::end(context)?;
    let outside: Vec<_> = case.outside.iter().map(|(offset, size)| (end + offset, *size)).collect();
    let faults = outside.iter().map(|(start, size)| format!("ram:outside={start:#x}+{size:#x}"));
    let faults = faults.chain([format!("ram:fill={FILL:#x}"), case.faults.to_owned()]);
    let faults = faults.collect::<Vec<_>>().join(",");
    if let Some(protection) = &mut fixture.protection {
        protection.faults = faults.parse().unwrap_or_default();
    }
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest,memory canary=7");
    let session = fixture.start()?;
    let memory = session.machine.attachment.as_ref().map(|a| a.memory.clone()).unwrap_or_default();
    let finished = session.finish(LIMIT);
    let mut findings = judge::end(&finished, case.status);
    if !finished.output.console.contains(case.names) {
        findings.push(Finding::NeverSaid(case.names));
    }
    findings.extend(judge::strict(&finished));
    findings.extend(seen(&finished, &memory, &outside)?);
    verdict(finished, findings)
}

/// Checks the memory that the host sees outside the pool, frame by frame.
fn seen(finished: &Finished, memory: &Path, outside: &[(u64, u64)]) -> Result<Option<Finding>, Failure> {
    let file = File::open(memory).map_err(|error| Finding::File(memory.to_path_buf(), error))?;
    let pool = finished.report.number("pool.base").zip(finished.report.number("pool.bytes"));
    let pool = pool.map_or(0..0, |(base, bytes)| base >> FRAME_SHIFT..(base + bytes) >> FRAME_SHIFT);
    let holes = outside.iter().flat_map(|(at, size)| at >> FRAME_SHIFT..(at + size) >> FRAME_SHIFT);
    let shared = finished.shared().now.into_iter().flatten();
    for gfn in holes.chain(shared).filter(|gfn| !pool.contains(gfn)) {
        let mut frame = vec![0; FRAME_SIZE as usize];
        file.read_exact_at(&mut frame, gfn << FRAME_SHIFT)
            .map_err(|error| Finding::File(memory.to_path_buf(), error))?;
        if frame == [FILL; FRAME_SIZE as usize] || frame == [0; FRAME_SIZE as usize] {
            continue;
        }
        let word = shown::word(gfn);
        // A pool that was tried there was filled with its own pattern, which is public, too.
        let public = |(at, byte): (usize, &u8)| {
            [0, FILL, 0xa5].contains(byte) || byte & 0xf0 == 0x50 || word.get(at) == Some(byte)
        };
        if !frame.iter().enumerate().all(public) {
            return Ok(Some(Finding::Overwritten(gfn << FRAME_SHIFT)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_ultravisor::Faults;

    #[test]
    fn every_fault_can_be_parsed() {
        for case in CASES.iter().filter(|case| !case.faults.is_empty()) {
            assert!(!case.faults.parse::<Faults>().unwrap().is_empty());
        }
    }
}
