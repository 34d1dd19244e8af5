//! Trees that reserve memory in difficult places: the pool has whole frames of its own outside the reservations, or there
//! is no pool.

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
/// Bytes behind the image in which UV_ESM takes its frames and the test reserves nothing.
const KEEP_OUT: u64 = 2 << 20;
/// Offset of the pool's place behind the image.
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

/// A free range that begins in the middle of a frame and is as long as the pool and half a frame: too few whole frames.
fn short(free: u64) -> Vec<(u64, u64)> {
    let mut all = crumbs(MEMORY);
    all.retain(|(at, _)| !(free..free + POOL + FRAME).contains(at));
    all.extend([(free - 8, FRAME / 2 + 8), (free + POOL + FRAME / 2 - 1, 8)]);
    all
}

/// Free memory of exactly the pool's size, and no other range of that size.
fn pool_alone(free: u64) -> Vec<(u64, u64)> {
    let mut all = crumbs(MEMORY);
    all.retain(|(at, _)| !(free - FRAME..free + POOL + FRAME).contains(at));
    all.extend([(free - 1, 1), (free + POOL, 1)]);
    all
}

/// Partly reserved frames on both sides of the only place for the pool: the pool uses neither.
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

/// Without room the guest names the part that has no room, and shares nothing.
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
