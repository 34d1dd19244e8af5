//! Memory that the tree reserves in the most awkward places: the pool is whole frames of its own beside all of
//! it, or there is none.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::footprint;
use crate::matrix::runner::Test;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::publish::MARK;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Exit status: out of memory.
const NO_MEMORY: u8 = 10;
/// Bytes of guest memory.
const MEMORY: u64 = 512 << 20;
/// Behind the image: where UV_ESM takes its frames, and where nothing is reserved beforehand.
const KEEP_OUT: u64 = 2 << 20;
/// Behind the image: the place for the pool.
const BEHIND: u64 = 4 << 20;
const POOL: u64 = 8 << 20;
const FRAME: u64 = 64 << 10;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("UV-19", Refuse, Q);
    let _ = case!("UV-10", Halt, Q);
    vec![
        Test::new("reserved/ragged", ragged),
        Test::new("reserved/half-a-frame-short", |context| nowhere(context, short, "no room for a pool")),
        Test::new("reserved/pool-but-no-heap", |context| nowhere(context, pool_alone, "no room for a heap")),
    ]
}

/// A byte of every second MiB below `end`, so that no pool fits in between.
fn crumbs(end: u64) -> Vec<(u64, u64)> {
    (5 << 20..end).step_by(2 << 20).map(|at| (at + 0x123, 1)).collect()
}

/// A stretch that is as long as the pool and half a frame, and begins in the middle of one: no whole frames.
fn short(free: u64) -> Vec<(u64, u64)> {
    let mut all = crumbs(MEMORY);
    all.retain(|(at, _)| !(free..free + POOL + FRAME).contains(at));
    all.extend([(free - 8, FRAME / 2 + 8), (free + POOL + FRAME / 2 - 1, 8)]);
    all
}

/// Room for the pool, to the byte, and for nothing of that size beside it.
fn pool_alone(free: u64) -> Vec<(u64, u64)> {
    let mut all = crumbs(MEMORY);
    all.retain(|(at, _)| !(free - FRAME..free + POOL + FRAME).contains(at));
    all.extend([(free - 1, 1), (free + POOL, 1)]);
    all
}

/// Frames that belong to somebody in part, on both sides of the only place for the pool: it takes neither.
fn ragged(context: &Context) -> Result<(), Failure> {
    let free = footprint::end(context)? + BEHIND;
    let mut reserve = crumbs(free);
    let start = free + 3 * FRAME;
    // The last bytes of one frame and the first of another, with exactly the pool in between.
    reserve.extend([(start - 16, 16), (start + POOL, 16)]);
    let (mut fixture, reserve) = fixture(context, &reserve)?;
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let session = fixture.start()?;
    let path = session.machine.attachment.as_ref().map(|a| a.memory.clone()).unwrap_or_default();
    let finished = session.finish(crate::matrix::fixture::LIMIT);
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "pool.base", &format!("{start:#x}")));
    findings.extend(judge::exposure(&finished, true));
    findings.extend(judge::ultracalls(&finished, &judge::SECURE_CALLS));
    let memory = File::open(&path).map_err(|error| Finding::File(path.clone(), error))?;
    let changed = |&&(at, len): &&(u64, u64)| {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        memory.read_exact_at(&mut bytes, at).is_err() || bytes.iter().any(|byte| *byte != MARK)
    };
    findings.extend(reserve.iter().filter(changed).map(|&(at, _)| Finding::Overwritten(at)));
    verdict(finished, findings)
}

/// Without room the guest says for what, and shares nothing.
fn nowhere(
    context: &Context,
    reserve: fn(u64) -> Vec<(u64, u64)>,
    names: &'static str,
) -> Result<(), Failure> {
    let reserve = reserve(footprint::end(context)? + BEHIND);
    let (mut fixture, _) = fixture(context, &reserve)?;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, NO_MEMORY);
    if !finished.output.console.contains(names) {
        findings.push(Finding::NeverSaid(names));
    }
    if !finished.shared().ever.is_empty() {
        findings.push(Finding::Order("room for everything, then the share"));
    }
    verdict(finished, findings)
}

fn fixture(context: &Context, reserve: &[(u64, u64)]) -> Result<(Fixture, Vec<(u64, u64)>), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    let kept = footprint::BASE..footprint::end(context)? + KEEP_OUT;
    let reserve: Vec<_> = reserve.iter().copied().filter(|(at, _)| !kept.contains(at)).collect();
    if let Some(protection) = &mut fixture.protection {
        protection.reserve = reserve.clone();
    }
    Ok((fixture, reserve))
}
