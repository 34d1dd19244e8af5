//! Secrets in private memory, and a host that searches everything shared for them: at any moment of a guest's
//! work, and for the data of its requests when they are done.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::cells::{self, SERVING};
use crate::matrix::refusing::{self, Lies, Served, refusals};
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, seed, verdict};
use crate::observe::leaks::{Leak, Secret, Secrets};
use crate::pattern;
use crate::peer::station::Station;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_cases::case;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DATA_BYTES: u64 = (4 << 20) + 512;
const SCRATCH_BYTES: u64 = 2 << 20;
/// Most findings of one kind that are worth telling.
const ENOUGH: usize = 8;
/// Bytes of canaries at each place that the guest states.
const PLANTED: usize = 512;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("UV-11", Ignore, Q);
    vec![
        Test::new("leak/bios/ap-off", |context| hunt(context, false)),
        Test::new("leak/bios/ap-on", |context| hunt(context, true)),
    ]
}

/// Everything that the search needs of a guest.
struct Hunt {
    memory: File,
    path: PathBuf,
    secrets: Secrets,
    searched: u32,
}

impl Hunt {
    fn search(&mut self, shared: &[Range<u64>]) -> Vec<Finding> {
        self.searched += u32::from(!shared.is_empty());
        match self.secrets.search(&self.memory, shared) {
            Ok(leaks) => leaks.into_iter().take(ENOUGH).map(Finding::Leak).collect(),
            Err(error) => vec![Finding::File(self.path.clone(), error)],
        }
    }

    /// Searches at moments that nobody chose until the guest serves.
    fn watch(&mut self, session: &Session) -> Vec<Finding> {
        let deadline = Instant::now() + LIMIT;
        loop {
            // What is shared is asked before memory is read: a frame that becomes shared is zeroed first.
            let findings = self.search(&session.shared().now);
            if !findings.is_empty() {
                return findings;
            }
            let pause = Duration::from_millis(seed() % 40);
            if session.qemu.console().wait_for(pause, |line| line == SERVING).is_some() {
                return Vec::new();
            }
            if Instant::now() >= deadline || session.qemu.has_ended() {
                return vec![Finding::NeverSaid(SERVING)];
            }
        }
    }
}

fn hunt(context: &Context, access_platform: bool) -> Result<(), Failure> {
    let mut scene = Scene::new(context, Shape::new(Firmware::Bios, true, access_platform))?;
    let (seed, canary) = (seed(), seed());
    let data = scene.data_disk(DATA_BYTES)?;
    let scratch = scene.scratch_disk(SCRATCH_BYTES)?;
    scene.word(&format!("run=blk-digest,blk-pattern,net-serve serve=100 seed={seed} canary={canary}"));
    let (mut session, served) = if access_platform {
        // QEMU's own devices: rust-vmm knows no IOMMU.
        scene.machine.net = Net::User;
        (scene.start()?, None)
    } else {
        let Served { session, servers, cable } = refusing::start(&mut scene, Lies::default())?;
        (session, Some((servers, cable)))
    };
    let mut findings = Vec::new();
    let path = session.machine.attachment.as_ref().map(|a| a.memory.clone()).unwrap_or_default();
    let memory = OpenOptions::new().read(true).write(true).open(&path);
    let memory = memory.map_err(|error| Finding::File(path.clone(), error))?;
    let secrets = Secrets::new(canary, session.machine.memory);
    let mut hunt = Hunt { memory, path, secrets, searched: 0 };
    findings.extend(hunt.watch(&session));
    let servers = match served {
        Some((servers, cable)) => {
            findings.extend(Station::new(cable).echo(seed).err().map(Finding::Station));
            drop(session.qemu.type_in(b"q"));
            Some(servers)
        }
        None => {
            findings.extend(cells::exchange(&mut session, seed));
            None
        }
    };
    let finished = session.finish(LIMIT);
    let accounts = match servers {
        Some(servers) => servers.finish().map_err(Finding::Server)?,
        None => Vec::new(),
    };
    findings.extend(judge::end(&finished, 0));
    findings.extend(refusals(&accounts));
    // All requests are done; what they carried must not be there any more.
    let file = |path: &Path| std::fs::read(path).map_err(|e| Finding::File(path.to_path_buf(), e));
    hunt.secrets.done("a read of the disk", &file(&data)?);
    hunt.secrets.done("a write to the disk", &file(&scratch)?);
    let shared = finished.shared().now;
    findings.extend(hunt.search(&shared));
    findings.extend(planted(&hunt.memory, &finished, canary));
    findings.extend(can_find(&mut hunt, &shared, canary));
    if hunt.searched < 3 {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}

/// The canaries are in private memory, where the guest says.
pub fn planted(memory: &File, finished: &Finished, canary: u64) -> Vec<Finding> {
    let mut expected = vec![0; PLANTED];
    pattern::fill(canary, &mut expected);
    let there = |place: &&str| {
        let mut found = vec![0; PLANTED];
        let at = finished.report.number(place);
        at.is_some_and(|at| memory.read_exact_at(&mut found, at).is_ok() && found == expected)
    };
    let places = ["canary.heap", "canary.image"];
    places.into_iter().filter(|place| !there(place)).map(Finding::NoSecret).collect()
}

/// A secret put into the pool is found: the search that found nothing could have.
fn can_find(hunt: &mut Hunt, shared: &[Range<u64>], canary: u64) -> Option<Finding> {
    let at = (shared.last()?.end << 16) - 24;
    let word = pattern::splitmix64(canary.wrapping_add(3));
    let private = LOW;
    let bytes = [word.to_le_bytes(), private.to_le_bytes()].concat();
    if let Err(error) = hunt.memory.write_all_at(&bytes, at) {
        return Some(Finding::File(hunt.path.clone(), error));
    }
    let found = hunt.secrets.search(&hunt.memory, shared).unwrap_or_default();
    let expected =
        [Leak { at, secret: Secret::Canary }, Leak { at: at + 8, secret: Secret::Address(private) }];
    (!expected.iter().all(|leak| found.contains(leak))).then_some(Finding::Unnoticed)
}

/// An address in the kernel's image.
const LOW: u64 = 0x40_1000;
