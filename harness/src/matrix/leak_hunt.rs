//! Secrets in private memory, and a host that searches all shared memory for them at any moment of a guest's work: for
//! the guest's canaries, for addresses of private memory, for the data of each completed request, of disk and network,
//! and for the secret of its ESM blob, which is in no memory at the end.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::blob;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::refusing::{self, Served, Violations, refusals};
use crate::matrix::runner::Test;
use crate::observe::leaks::{Leak, Secret, Secrets, outside};
use crate::observe::rings::{Translation, numbers};
use crate::pattern;
use crate::peer::cable_peer::{self, CablePeer};
use crate::peer::echo;
use crate::qemu::monitor::{Monitor, MonitorError};
use crate::servers::Account;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_adversary::hold::Hold;
use postern_cases::case;
use postern_ultravisor::FRAME_SHIFT;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DATA_BYTES: u64 = (24 << 20) + 512;
const SCRATCH_BYTES: u64 = 12 << 20;
/// Most bytes of a disk that are requested and not completed: twice the size and number of the requests.
const IN_FLIGHT: u64 = 4 << 20;
/// Bytes of the stream to and from the guest.
const STREAM: usize = 100_000;
/// Searches while a read of the first disk is in flight. The disk is held back until they are done, so that a busy host
/// does not reduce their number.
const IN_FLIGHT_SEARCHES: u32 = 5;
/// Bytes a second of QEMU's own first disk until then: so few that the read could not end within the guest's time limit.
const HELD_BACK: u32 = 100_000;
/// How long a driver may take to see that a frame was sent.
const REAPED: Duration = Duration::from_secs(120);
/// Most findings of one kind that are reported.
const ENOUGH: usize = 8;
/// Bytes of canaries at each place that the guest states.
const PLANTED: usize = 512;
/// All devices are up, and the disks are next.
const DEVICES_UP: &str = "postern: net0.mac=";
/// The guest has read the whole of its first disk.
const READ: &str = "blk0: SHA-256 ";
/// The guest has written its second disk and read it back.
const WRITTEN: &str = " bytes of pattern ";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("UV-11", Ignore, Q);
    vec![
        Test::new("leak/bios/ap-off", |context| hunt(context, GuestConfig::new(Firmware::Bios, true, false))),
        Test::new("leak/bios/ap-on", |context| hunt(context, GuestConfig::new(Firmware::Bios, true, true))),
        // A parked CPU has a stack of its own, and each disk a second queue with a part of the pool.
        Test::new("leak/bios/ap-on/smp-2", |context| {
            hunt(context, GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Bios, true, true) })
        }),
    ]
}

/// The parts of a guest that the search uses.
struct Hunt {
    memory: File,
    path: PathBuf,
    secrets: Secrets,
    monitor: Monitor,
    /// The servers' accounts; if there are none, the devices are QEMU's own and translate addresses.
    accounts: Vec<Account>,
    /// Addresses of the available and used rings when they were last read.
    rings: Vec<Range<u64>>,
    first: First,
    /// Searches while a read of the first disk was in flight.
    in_flight: u32,
}

/// The way in which the first disk's reads are held back.
enum First {
    /// Its server.
    Server(Arc<Hold>),
    /// QEMU's rate limit.
    Limit,
}

/// Disks whose requests are done, part by part.
struct Disks<'a> {
    data: Vec<u8>,
    scratch: &'a Path,
    seed: u64,
    /// The first disk's server, if it has one.
    server: Option<Account>,
    /// Bytes of the first disk that the guest has finished reading.
    past: usize,
    up: bool,
    read: bool,
    written: bool,
}

impl Disks<'_> {
    /// Adds the data that the guest has finished with to the secrets.
    fn collect(&mut self, session: &Session, secrets: &mut Secrets) {
        let said =
            |what: &str| session.qemu.console().wait_for(Duration::ZERO, |l| l.contains(what)).is_some();
        self.up = self.up || said(DEVICES_UP);
        self.read = self.read || said(READ);
        let past = match (&self.server, self.read) {
            (_, true) => self.data.len(),
            (Some(server), false) => {
                usize::try_from(server.ledger.asked().saturating_sub(IN_FLIGHT)).unwrap_or_default()
            }
            (None, false) => 0,
        };
        if let Some(part) = self.data.get(self.past..past) {
            secrets.done("a read of the disk", part);
            self.past = past;
        }
        if !self.written && said(WRITTEN) {
            self.written = true;
            let mut bytes = vec![0; usize::try_from(SCRATCH_BYTES).unwrap_or(0)];
            pattern::fill(self.seed, &mut bytes);
            secrets.done("a write to the disk", &bytes);
        }
    }
}

impl Hunt {
    fn search(&mut self, session: Option<&Session>) -> Vec<Finding> {
        match session {
            // The list of shared memory is read before memory itself: a frame is zeroed before it is shared.
            Some(session) => self.search_in(&session.shared().now, Some(session)),
            None => Vec::new(),
        }
    }

    fn search_in(&mut self, shared: &[Range<u64>], session: Option<&Session>) -> Vec<Finding> {
        let mut leaks = match self.secrets.search(&self.memory, shared) {
            Ok(leaks) => outside(leaks, &self.rings),
            Err(error) => return vec![Finding::File(self.path.clone(), error)],
        };
        if let Some(session) = session.filter(|_| !leaks.is_empty()) {
            // A frame that was shared for a proof and unshared before it was read is private again, and was zeroed before.
            let now = session.shared().now;
            leaks.retain(|leak| now.iter().any(|run| run.contains(&(leak.at >> FRAME_SHIFT))));
            // There may be new rings since the last search.
            if let Some(finding) = self.find_rings(session) {
                return vec![finding];
            }
            leaks = outside(leaks, &self.rings);
        }
        leaks.into_iter().take(ENOUGH).map(Finding::Leak).collect()
    }

    fn find_rings(&mut self, session: &Session) -> Option<Finding> {
        if !self.accounts.is_empty() {
            // QEMU would stop a server's queue to ask it.
            let rings: Vec<_> = self.accounts.iter().flat_map(Account::rings).collect();
            self.rings = numbers(&rings, &Translation::None);
            return None;
        }
        match self.monitor.rings() {
            Ok(rings) => self.rings = numbers(&rings, &Translation::of(&session.trace())),
            Err(error) => return Some(Finding::Monitor(error)),
        }
        None
    }

    /// The number of the first disk's read that is in flight; any number if the server does not tell.
    fn read_in_flight(&self, disks: &Disks<'_>) -> Option<u64> {
        match &self.first {
            First::Server(hold) => hold.waiting(),
            First::Limit => (disks.up && !disks.read).then_some(0),
        }
    }

    /// Called after a search: lets the next read be answered, or, after enough searches, all.
    fn let_pass(&mut self) -> Result<(), MonitorError> {
        match &self.first {
            First::Server(hold) if self.in_flight < IN_FLIGHT_SEARCHES => hold.let_pass(),
            First::Server(hold) => hold.open(),
            First::Limit if self.in_flight == IN_FLIGHT_SEARCHES => self.monitor.throttle_bytes(0, 0)?,
            First::Limit => {}
        }
        Ok(())
    }

    /// Searches at arbitrary moments until the guest serves.
    fn watch(&mut self, session: &Session, disks: &mut Disks<'_>) -> Vec<Finding> {
        let deadline = Instant::now() + LIMIT;
        loop {
            disks.collect(session, &mut self.secrets);
            let flying = self.read_in_flight(disks);
            let findings = self.search(Some(session));
            if !findings.is_empty() {
                return findings;
            }
            disks.collect(session, &mut self.secrets);
            if flying.is_some() && flying == self.read_in_flight(disks) {
                self.in_flight += 1;
                if let Err(error) = self.let_pass() {
                    return vec![Finding::Monitor(error)];
                }
            }
            let pause = Duration::from_millis(seed() % 20);
            if session.qemu.console().wait_for(pause, |line| line == SERVING).is_some() {
                disks.collect(session, &mut self.secrets);
                return self.find_rings(session).into_iter().collect();
            }
            if Instant::now() >= deadline || session.qemu.has_ended() {
                return vec![Finding::NeverSaid(SERVING)];
            }
        }
    }

    /// Checks that data which a peer has exchanged with the guest is gone once the driver has seen the completion.
    fn exchanged(&mut self, session: &Session, what: &'static str, data: &[Vec<u8>]) -> Vec<Finding> {
        data.iter().for_each(|data| self.secrets.done(what, data));
        let deadline = Instant::now() + REAPED;
        loop {
            let findings = self.search(Some(session));
            if findings.is_empty() || Instant::now() >= deadline {
                return findings;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn hunt(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let access_platform = config.access_platform;
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    let (seed, canary) = (seed(), seed());
    let data = fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.word(&format!(
        "run=blk-digest,blk-pattern,net-serve serve=100 device-timeout=120 seed={seed} canary={canary} {}",
        blob::WORD
    ));
    let (mut session, served, first) = if access_platform {
        // QEMU's own devices: rust-vmm knows no IOMMU.
        fixture.machine.net = Net::User;
        blob::give(&mut fixture)?;
        (fixture.start()?, None, First::Limit)
    } else {
        let hold = Arc::new(Hold::default());
        let Served { session, servers, cable } =
            refusing::start_held(&mut fixture, Violations::default(), Some(&hold), blob::give)?;
        (session, Some((servers, cable)), First::Server(hold))
    };
    let path = session.machine.attachment.as_ref().map(|a| a.memory.clone()).unwrap_or_default();
    let memory = OpenOptions::new().read(true).write(true).open(&path);
    let memory = memory.map_err(|error| Finding::File(path.clone(), error))?;
    let monitor = Monitor::connect(session.machine.monitor.as_deref().unwrap_or(Path::new("")));
    let mut monitor = monitor.map_err(Finding::Monitor)?;
    if let First::Limit = first {
        monitor.throttle_bytes(0, HELD_BACK).map_err(Finding::Monitor)?;
    }
    let mut secrets = Secrets::new(canary, session.machine.memory);
    secrets.blob(blob::SECRET);
    let accounts = served.as_ref().map(|(servers, _)| servers.accounts()).unwrap_or_default();
    let server = accounts.first().cloned();
    let mut hunt = Hunt { memory, path, secrets, monitor, accounts, rings: Vec::new(), first, in_flight: 0 };
    let mut disks = Disks {
        data: std::fs::read(&data).map_err(|error| Finding::File(data.clone(), error))?,
        scratch: &scratch,
        seed,
        server,
        past: 0,
        up: false,
        read: false,
        written: false,
    };
    let mut findings = hunt.watch(&session, &mut disks);
    if let First::Server(hold) = &hunt.first {
        // After an early end, too, no read waits for the hold.
        hold.open();
    }
    if findings.is_empty() && hunt.in_flight < IN_FLIGHT_SEARCHES {
        findings.push(Finding::TooFew {
            what: "searches while a read was in flight",
            least: IN_FLIGHT_SEARCHES.into(),
            found: hunt.in_flight.into(),
        });
    }
    // A seed other than the disk's: otherwise the same words would be in two places.
    let peer = seed ^ 0x5eed_0000_0000;
    let servers = match served {
        Some((servers, cable)) => {
            let mut cable_peer = CablePeer::new(cable);
            findings.extend(cable_peer.udp(peer).err().map(Finding::CablePeer));
            let datagrams: Vec<_> = cable_peer::udp_datagrams(peer).collect();
            findings.extend(hunt.exchanged(&session, "a datagram", &datagrams));
            findings.extend(cable_peer.tcp(peer, STREAM).err().map(Finding::CablePeer));
            Some(servers)
        }
        None => {
            match hunt.monitor.forwarded() {
                Ok(ports) => {
                    findings.extend(echo::udp(ports.udp, peer).err().map(Finding::Echo));
                    let datagrams: Vec<_> = echo::datagrams(peer).collect();
                    findings.extend(hunt.exchanged(&session, "a datagram", &datagrams));
                    findings.extend(echo::tcp(ports.tcp, peer, STREAM).err().map(Finding::Echo));
                }
                Err(error) => findings.push(Finding::Monitor(error)),
            }
            None
        }
    };
    let mut stream = vec![0; STREAM];
    pattern::fill(peer, &mut stream);
    findings.extend(hunt.exchanged(&session, "a stream", &[stream]));
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    let accounts = match servers {
        Some(servers) => servers.finish().map_err(Finding::Server)?,
        None => Vec::new(),
    };
    findings.extend(judge::end(&finished, 0));
    findings.extend(refusals(&accounts));
    // All requests are done, so all of the disk's data is secret.
    match File::open(disks.scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch.clone(), error)),
    }
    if disks.past < disks.data.len() || !disks.written {
        findings.push(Finding::Unnoticed);
    }
    let shared = finished.shared().now;
    findings.extend(hunt.search_in(&shared, None));
    findings.extend(planted(&hunt.memory, &finished, canary));
    findings.extend(judge::fact(&finished, "secret.bytes", &blob::SECRET.len().to_string()));
    findings.extend(blob::nowhere(&finished, &hunt.memory)?);
    findings.extend(can_find(&mut hunt, &shared, canary, &disks.data));
    verdict(finished, findings)
}

/// Checks that the canaries are in private memory, at the stated addresses.
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

/// Checks that secrets which are put into the pool are found: the search works.
fn can_find(hunt: &mut Hunt, shared: &[Range<u64>], canary: u64, data: &[u8]) -> Option<Finding> {
    let at = (shared.last()?.end << 16) - 32;
    let word = pattern::splitmix64(canary.wrapping_add(3));
    let bytes =
        [word.to_le_bytes(), LOW.to_le_bytes(), *data.first_chunk()?, *blob::SECRET[64..].first_chunk()?]
            .concat();
    if let Err(error) = hunt.memory.write_all_at(&bytes, at) {
        return Some(Finding::File(hunt.path.clone(), error));
    }
    let found = outside(hunt.secrets.search(&hunt.memory, shared).unwrap_or_default(), &hunt.rings);
    let expected = [
        Leak { at, secret: Secret::Canary },
        Leak { at: at + 8, secret: Secret::Address(LOW) },
        Leak { at: at + 16, secret: Secret::Done("a read of the disk") },
        Leak { at: at + 24, secret: Secret::Blob },
    ];
    (!expected.iter().all(|leak| found.contains(leak))).then_some(Finding::Unnoticed)
}

/// An address in the kernel's image; two adjacent small numbers could look like it.
const LOW: u64 = 0x40_0008;
