//! Guests that are migrated, saved and loaded, stopped and reset in the middle of their work: every byte is correct, and
//! the run ends as usual.

use crate::finding::{Finding, digest};
use crate::guest::report::Report;
use crate::judge;
use crate::matrix::boot_matrix::{self, SERVING};
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::results;
use crate::matrix::runner::Test;
use crate::pattern;
use crate::peer::echo;
use crate::qemu::command::Machine;
use crate::qemu::monitor::Monitor;
use crate::qemu::process::{Ended, Output, Qemu};
use crate::session::{Finished, Session, SessionError};
use crate::variable::{Firmware, Net};
use postern_ultravisor::inject::Random;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of a disk. At a migration the requests in flight, 1 or 2 MiB, are not slowed by a disk's rate limit.
const DATA_BYTES: u64 = 48 << 20;
const SCRATCH_BYTES: u64 = 2 << 20;
/// Migrations of each guest while its disks work, and while it serves the network: with six guests, more than a hundred.
const AT_DISKS: u32 = 12;
const AT_NETWORK: u32 = 6;
/// The oldest QEMU that was seen to migrate a running pseries guest under TCG correctly. 7.2 does not restart the
/// decrementer, so a guest in H_CEDE sleeps for ever, and loses stores that the guest makes while pages are sent.
const MIGRATES: (u32, u32) = (10, 0);
/// Resets of one QEMU.
const RESETS: usize = 50;
/// Bytes a second of a disk whose work must not be finished before the disturbance.
const SLOW: u32 = 32 << 10;
/// Longest pause between two disturbances, in milliseconds.
const PAUSE: u64 = 40;
/// How long a machine is stopped: several times the guest's time limit for an answer.
const STOPPED: Duration = Duration::from_secs(2);
/// Start of the guest's line when a disk's digest is done.
const DIGESTED: &str = "blk0: SHA-256 ";
const FIRST_LINE: &str = "postern: fdt.addr=";
/// Most lines of a boot before a reset.
const LINES: u64 = 16;
/// Start of the guest's line about its second disk, before the work begins.
const DISK: &str = "blk1: virtio-blk";
/// Name of the saved machine.
const NAME: &str = "middle";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for firmware in Firmware::ALL {
        for ap in [true, false] {
            let config = GuestConfig { smp: 2, ..GuestConfig::new(firmware, false, ap) };
            let name =
                format!("through-time/migration/{}/ap-{}", firmware.name(), if ap { "on" } else { "off" });
            tests.push(Test::new(name, move |context| migration(context, config)));
        }
    }
    tests.push(Test::new("through-time/saved-and-loaded", saved_and_loaded));
    tests.push(Test::new("through-time/stopped", stopped));
    tests.push(Test::new("through-time/fifty-resets", fifty_resets));
    tests
}

/// A guest of these tests, and its work.
struct Work {
    fixture: Fixture,
    digest: String,
    scratch: PathBuf,
    seed: u64,
}

impl Work {
    fn new(context: &Context, config: GuestConfig) -> Result<Self, Failure> {
        let mut fixture = Fixture::new(context, config)?;
        let data = fixture.data_disk(DATA_BYTES)?;
        let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
        let seed = seed();
        fixture.machine.net = Net::User;
        fixture
            .word(&format!("run=blk-digest,blk-pattern,net-serve ip=10.0.2.15/24 gw=10.0.2.2 seed={seed}"));
        Ok(Self { digest: digest(&data)?, fixture, scratch, seed })
    }

    /// Checks the guest's end and its disk.
    fn judge(&self, finished: Finished) -> Result<(), Failure> {
        self.judge_with(finished, None)
    }

    /// [`Self::judge`], with a further finding.
    fn judge_with(&self, finished: Finished, further: Option<Finding>) -> Result<(), Failure> {
        let mut findings = judge::end(&finished, 0);
        findings.extend(further);
        findings.extend(judge::fact(&finished, "blk0.sha256", &self.digest));
        findings.extend(judge::fact(&finished, "blk1.pattern_bytes", &SCRATCH_BYTES.to_string()));
        if self.fixture.machine.disks.iter().any(|disk| disk.image == self.scratch && disk.write) {
            match File::open(&self.scratch) {
                Ok(file) => findings.extend(pattern::verify(self.seed, file).err().map(Finding::Pattern)),
                Err(error) => findings.push(Finding::File(self.scratch.clone(), error)),
            }
        }
        findings.extend((!findings.is_empty()).then_some(Finding::Seed(self.seed)));
        verdict(finished, findings)
    }
}

/// One of the QEMUs between which a guest is migrated.
struct Place {
    qemu: Qemu,
    monitor: Monitor,
}

impl Place {
    /// A QEMU with the guest's machine; with `incoming`, one that waits for a migration.
    fn new(machine: &Machine, socket: &Path, incoming: bool) -> Result<Self, Finding> {
        let mut machine = Machine { monitor: Some(socket.to_path_buf()), ..machine.clone() };
        if incoming {
            machine.extra.extend(["-incoming", "defer"].map(str::to_owned));
        }
        let start = |error| Finding::Start(SessionError::Qemu(error));
        let qemu = Qemu::start(&machine, None).map_err(start)?;
        let monitor = Monitor::connect(socket).map_err(Finding::Monitor)?;
        Ok(Self { qemu, monitor })
    }

    /// Limits each disk to `bytes` a second; 0 is no limit. A limit does not migrate with the guest.
    fn slow_down(&mut self, bytes: u32) -> Result<(), Finding> {
        (0..2).try_for_each(|disk| self.monitor.throttle_bytes(disk, bytes)).map_err(Finding::Monitor)
    }
}

/// Migrates a guest through many QEMUs.
fn migration(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let version = results::version(&context.qemu)?;
    if major_and_minor(&version) < MIGRATES {
        return Err(
            Finding::Skipped(format!("QEMU {version} loses stores and the decrementer under TCG")).into()
        );
    }
    let work = Work::new(context, config)?;
    let mut here = Place::new(&work.fixture.machine, &work.fixture.dir.path("monitor"), false)?;
    let mut said = String::new();
    let moved = moved_around(&work, &mut here, &mut said);
    drop(here.qemu.type_in(b"q"));
    let (ended, output) = match &moved {
        Ok(()) => here.qemu.wait(LIMIT),
        Err(_) => (Ended::Interrupted, here.qemu.stop()),
    };
    let output = Output { console: said + &output.console, ..output };
    match moved {
        Ok(()) => {
            let finished = finished(&work.fixture.machine, ended, output);
            // QEMU asks the guest for it, each time that it arrives.
            let announced = judge::positive(&finished, "net0.announced");
            work.judge_with(finished, announced)
        }
        Err(finding) => Err(Failure { findings: vec![finding], output: Some(output) }),
    }
}

/// The first two numbers of a version; a version without numbers counts as new.
pub(super) fn major_and_minor(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(u32::MAX));
    (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0))
}

/// Migrates the guest from `here` on, and collects the consoles in `said`.
fn moved_around(work: &Work, here: &mut Place, said: &mut String) -> Result<(), Finding> {
    let mut random = Random::new(work.seed);
    if here.qemu.console().wait_for(LIMIT, |line| line.contains(DISK)).is_none() {
        return Err(Finding::NeverSaid(DISK));
    }
    here.slow_down(SLOW)?;
    let mut at_disks = 0;
    for number in 0..AT_DISKS + AT_NETWORK {
        if number >= AT_DISKS {
            exchange(here, said, work.seed ^ u64::from(number))?;
        }
        std::thread::sleep(Duration::from_millis(random.below(PAUSE)));
        let path = |name: &str| work.fixture.dir.path(&format!("{name}-{number}"));
        let mut there = Place::new(&work.fixture.machine, &path("monitor"), true)?;
        there.slow_down(if number + 1 < AT_DISKS { SLOW } else { 0 })?;
        there.monitor.listen(&path("way")).map_err(Finding::Monitor)?;
        here.monitor.migrate(&path("way")).map_err(Finding::Monitor)?;
        there.monitor.wait_until_running().map_err(Finding::Monitor)?;
        said.push_str(&std::mem::replace(here, there).qemu.stop().console);
        at_disks += u32::from(!said.contains(SERVING));
        if number + 1 == AT_DISKS && at_disks < AT_DISKS {
            let (least, found) = (AT_DISKS.into(), at_disks.into());
            return Err(Finding::TooFew { what: "migrations while disks work", least, found });
        }
    }
    exchange(here, said, work.seed)
}

/// Waits until the guest serves, and exchanges UDP and TCP echo.
fn exchange(place: &mut Place, said: &str, seed: u64) -> Result<(), Finding> {
    let serves = |line: &str| line == SERVING;
    if !said.lines().any(serves) && place.qemu.console().wait_for(LIMIT, serves).is_none() {
        return Err(Finding::NeverSaid(SERVING));
    }
    let ports = place.monitor.forwarded().map_err(Finding::Monitor)?;
    echo::all(ports, seed).map_err(Finding::Echo)?;
    Ok(())
}

fn finished(machine: &Machine, ended: Ended, output: Output) -> Finished {
    Finished {
        ended,
        report: Report::parse(&output.console),
        output,
        ultravisor: None,
        trace: Default::default(),
        requests: Default::default(),
        rtas_blocks: Default::default(),
        cedes: Default::default(),
        memory: machine.memory,
    }
}

/// Starts a session and waits until its disks have started; returns it and its monitor.
fn started(work: &mut Work) -> Result<(Session, Monitor), Failure> {
    let session = work.fixture.start()?;
    let socket = session.machine.monitor.clone().unwrap_or_default();
    let mut monitor = Monitor::connect(&socket).map_err(Finding::Monitor)?;
    if session.qemu.console().wait_for(LIMIT, |line| line.contains(DISK)).is_none() {
        return Err(Failure { findings: vec![Finding::NeverSaid(DISK)], output: Some(session.qemu.stop()) });
    }
    (0..2).try_for_each(|disk| monitor.throttle_bytes(disk, SLOW)).map_err(Finding::Monitor)?;
    Ok((session, monitor))
}

/// Finishes the work at full speed, and ends the guest.
fn ended(session: Session, mut monitor: Monitor, seed: u64) -> Result<(Finished, Vec<Finding>), Failure> {
    (0..2).try_for_each(|disk| monitor.throttle_bytes(disk, 0)).map_err(Finding::Monitor)?;
    drop(monitor);
    let mut session = session;
    let findings = boot_matrix::exchange(&mut session, seed);
    Ok((session.finish(LIMIT), findings))
}

/// The guest is loaded back into the middle of a digest that is already done.
fn saved_and_loaded(context: &Context) -> Result<(), Failure> {
    let mut work =
        Work::new(context, GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Vof, false, true) })?;
    // Saved state needs images that can hold it: QEMU's temporary images of disks with `snapshot`.
    work.fixture.machine.disks.iter_mut().for_each(|disk| disk.write = false);
    let (session, mut monitor) = started(&mut work)?;
    monitor.save(NAME).map_err(Finding::Monitor)?;
    (0..2).try_for_each(|disk| monitor.throttle_bytes(disk, 0)).map_err(Finding::Monitor)?;
    if session.qemu.console().wait_for(LIMIT, |line| line.contains(DIGESTED)).is_none() {
        return Err(Finding::NeverSaid(DIGESTED).into());
    }
    monitor.load(NAME).map_err(Finding::Monitor)?;
    let (finished, findings) = ended(session, monitor, work.seed)?;
    let digests = finished.output.console.matches(DIGESTED).count();
    if !findings.is_empty() || digests != 2 {
        let mut findings = findings;
        findings.extend((digests != 2).then(|| Finding::Times { text: DIGESTED.to_owned(), times: digests }));
        return Err(Failure { findings, output: Some(finished.output) });
    }
    work.judge(finished)
}

/// Every CPU and device is stopped for a while, several times.
fn stopped(context: &Context) -> Result<(), Failure> {
    let mut work =
        Work::new(context, GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Vof, false, true) })?;
    let (session, mut monitor) = started(&mut work)?;
    for length in [STOPPED, Duration::ZERO, STOPPED, Duration::ZERO] {
        monitor.stop().map_err(Finding::Monitor)?;
        std::thread::sleep(length);
        monitor.cont().map_err(Finding::Monitor)?;
        std::thread::sleep(Duration::from_millis(PAUSE));
    }
    let (finished, findings) = ended(session, monitor, work.seed)?;
    if !findings.is_empty() {
        return Err(Failure { findings, output: Some(finished.output) });
    }
    work.judge(finished)
}

/// Fifty boots in one QEMU that are reset after a random line of the log, and one that does all its work.
fn fifty_resets(context: &Context) -> Result<(), Failure> {
    let mut work =
        Work::new(context, GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Vof, false, true) })?;
    work.fixture.machine.extra.extend(["-action", "reboot=reset"].map(str::to_owned));
    let mut random = Random::new(work.seed);
    let session = work.fixture.start()?;
    let socket = session.machine.monitor.clone().unwrap_or_default();
    let mut monitor = Monitor::connect(&socket).map_err(Finding::Monitor)?;
    for number in 1..=RESETS {
        if !reached(&session.qemu, number, random.below(LINES)) {
            return Err(Failure {
                findings: vec![Finding::NeverSaid(FIRST_LINE)],
                output: Some(session.qemu.stop()),
            });
        }
        monitor.reset().map_err(Finding::Monitor)?;
    }
    let mut findings =
        if reached(&session.qemu, RESETS + 1, 0) { Vec::new() } else { vec![Finding::NeverSaid(FIRST_LINE)] };
    drop(monitor);
    let mut session = session;
    findings.extend(boot_matrix::exchange(&mut session, work.seed));
    let finished = session.finish(LIMIT);
    let boots = finished.output.console.matches(FIRST_LINE).count();
    findings
        .extend((boots != RESETS + 1).then(|| Finding::Times { text: FIRST_LINE.to_owned(), times: boots }));
    if !findings.is_empty() {
        return Err(Failure { findings, output: Some(finished.output) });
    }
    work.judge(finished)
}

/// Waits until boot number `boot`, counted from 1, has printed `lines` lines after its first.
fn reached(qemu: &Qemu, boot: usize, lines: u64) -> bool {
    let mut last = None;
    let is_there = |text: &str| {
        let begin = text.match_indices(FIRST_LINE).nth(boot - 1).map(|(at, _)| at);
        begin.is_some_and(|at| text[at..].lines().count() as u64 > lines)
    };
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline && !qemu.has_ended() {
        let text = qemu.console().text();
        if last.as_ref() != Some(&text.len()) && is_there(&text) {
            return true;
        }
        last = Some(text.len());
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
