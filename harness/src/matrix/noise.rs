//! A host that overwrites shared memory at any moment while honest devices use it: rings, requests and data. With
//! ACCESS_PLATFORM a device cannot reach beyond the pool even by a forged descriptor. The guest loses payload and devices,
//! but no private data.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::leak_hunt::planted;
use crate::matrix::refusing::{self, Served, Violations};
use crate::matrix::runner::Test;
use crate::observe::exposure::{self, Violation};
use crate::servers::{Account, Servers};
use crate::session::Session;
use crate::variable::{Firmware, Net};
use postern_adversary::ledger::{Part, Refusal};
use postern_adversary::noise::Noise;
use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Documented statuses of a guest whose devices fail: done, a device failed, a verification failed.
const STATUSES: [u8; 3] = [0, 6, 7];
/// Exit status: the pool could not be shared.
const NOT_SHARED: u8 = 5;
/// A line that is there when all devices are up.
const DEVICES_UP: &str = "postern: net0.mac=";

/// Which memory is overwritten, and when.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// All of it, again and again from the moment when it is shared.
    Always,
    /// All of it, again and again when the devices are at work.
    AtWork,
    /// All of it, once.
    Once,
    /// Single words at random places, as fast as possible.
    Words,
}

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let kinds = [
        ("from-the-start", Kind::Always),
        ("at-work", Kind::AtWork),
        ("once", Kind::Once),
        ("words", Kind::Words),
    ];
    let test = |ap: bool| {
        let word = if ap { "ap-on" } else { "ap-off" };
        kinds.map(|(name, kind)| {
            Test::new(format!("noise/{word}/{name}"), move |context| run(context, kind, ap))
        })
    };
    [true, false].into_iter().flat_map(test).collect()
}

/// Without ACCESS_PLATFORM no IOMMU is between QEMU's devices and memory, so a forged descriptor could name any address:
/// there the devices are servers, which access only memory that the ultravisor allows.
fn run(context: &Context, kind: Kind, access_platform: bool) -> Result<(), Failure> {
    let mut fixture =
        Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Bios, true, access_platform))?;
    let canary = seed();
    fixture.data_disk(8 << 20)?;
    fixture.scratch_disk(4 << 20)?;
    fixture.word("run=blk-digest,blk-pattern,net-serve serve=1 device-timeout=2");
    fixture.word(&format!("canary={canary}"));
    let (session, servers) = if access_platform {
        fixture.machine.net = Net::User;
        fixture.word("ip=10.0.2.15/24 gw=10.0.2.2");
        (fixture.start()?, None)
    } else {
        let Served { session, servers, .. } = refusing::start(&mut fixture, Violations::default())?;
        (session, Some(servers))
    };
    let path = session.machine.attachment.as_ref().map(|a| a.memory.clone()).unwrap_or_default();
    let failed = |error| Finding::File(path.clone(), error);
    let memory = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    let rounds = overwrite(&session, &memory, kind, canary).map_err(failed)?;
    let finished = session.finish(LIMIT);
    let accounts = servers.map(Servers::finish).transpose().map_err(Finding::Server)?.unwrap_or_default();
    // Noise during the share makes the share fail: one other range is tried.
    let early = matches!(kind, Kind::Always);
    let allowed = |status: &u8| STATUSES.contains(status) || (early && *status == NOT_SHARED);
    let status = finished.report.exit_status.filter(allowed);
    let mut findings = judge::end(&finished, status.unwrap_or(6));
    findings.extend(planted(&memory, &finished, canary));
    if early {
        let reached = exposure::reach(&finished.shared(), &finished.trace, false);
        let reached =
            reached.into_iter().filter(|v| matches!(v, Violation::Reached(_) | Violation::ListPage(_)));
        findings.extend(reached.map(Finding::Exposure));
    } else {
        findings.extend(judge::exposure(&finished, access_platform));
    }
    // The target of a forged descriptor may be refused; the addresses of the queues do not come from the pool.
    let ring = |refusal: &Refusal| !matches!(refusal.part, Part::Data { .. });
    let of = |a: &Account| {
        a.ledger.refusals().into_iter().filter(ring).map(|r| Finding::Refused(a.device, r)).collect()
    };
    let rings: Vec<Vec<Finding>> = accounts.iter().map(of).collect();
    findings.extend(rings.into_iter().flatten());
    if rounds == 0 {
        findings.push(Finding::NoViolation);
    }
    verdict(finished, findings)
}

/// Overwrites until the guest has ended or its time is up; returns how often.
fn overwrite(session: &Session, memory: &std::fs::File, kind: Kind, seed: u64) -> io::Result<u32> {
    let deadline = Instant::now() + LIMIT;
    let mut noise = Noise::new(seed);
    let mut rounds = 0;
    if !matches!(kind, Kind::Always) {
        session.qemu.console().wait_for(LIMIT, |line| line.starts_with(DEVICES_UP));
        // The noise starts at a random point of the work.
        std::thread::sleep(Duration::from_millis(noise.word() % 60));
    }
    while !session.qemu.has_ended() && Instant::now() < deadline {
        let shared = session.shared().now;
        if shared.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        rounds += 1;
        match kind {
            Kind::Words => {
                for _ in 0..1000 {
                    word(memory, &shared, &mut noise)?;
                }
            }
            Kind::Always | Kind::AtWork | Kind::Once => whole(memory, &shared, &mut noise)?,
        }
        if matches!(kind, Kind::Once) {
            break;
        }
        std::thread::sleep(Duration::from_millis(noise.word() % 20));
    }
    Ok(rounds)
}

fn whole(memory: &std::fs::File, shared: &[Range<u64>], noise: &mut Noise) -> io::Result<()> {
    let mut frame = vec![0; 1 << 16];
    for gfn in shared.iter().cloned().flatten() {
        noise.fill(&mut frame);
        memory.write_all_at(&frame, gfn << 16)?;
    }
    Ok(())
}

fn word(memory: &std::fs::File, shared: &[Range<u64>], noise: &mut Noise) -> io::Result<()> {
    let Some(run) = shared.first() else { return Ok(()) };
    let bytes = (run.end - run.start) << 16;
    let at = (run.start << 16) + ((noise.word() % bytes) & !7);
    memory.write_all_at(&noise.word().to_le_bytes(), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_shared_is_overwritten() {
        let memory = tempfile::tempfile().unwrap();
        memory.set_len(4 << 16).unwrap();
        let shared = std::slice::from_ref(&(1..3_u64));
        let mut noise = Noise::new(5);
        whole(&memory, shared, &mut noise).unwrap();
        for _ in 0..1000 {
            word(&memory, shared, &mut noise).unwrap();
        }
        let mut frames = vec![0; 4 << 16];
        memory.read_exact_at(&mut frames, 0).unwrap();
        let clean = |frame: &[u8]| frame.iter().all(|&byte| byte == 0);
        let frames: Vec<bool> = frames.chunks(1 << 16).map(clean).collect();
        assert_eq!(frames, [true, false, false, true]);
    }
}
