//! Random work with disturbances: devices are reset in the middle of it, disks grow, shrink and become slow, a cable is
//! pulled. At the end every byte is correct and all memory is freed. On a disk with a fault the work finds it.

mod faulty;

use crate::finding::{Finding, digest};
use crate::judge::{self, SECURE_CALLS};
use crate::matrix::boot_matrix;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern::{self, splitmix64};
use crate::peer::echo::{self, EchoError};
use crate::qemu::monitor::{Monitor, MonitorError};
use crate::say;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const DATA_BYTES: u64 = 4 << 20;
const SCRATCH_BYTES: u64 = 2 << 20;
/// Length of the soak of `make test`: completed requests of the guest's disks, counted by QEMU, and disturbances.
const REQUESTS: u64 = 2000;
const DISTURBANCES: u64 = 3 * KINDS;
/// Time limit for that.
const SHORT: Duration = Duration::from_secs(90);
/// The guest's message when the cable is pulled.
const LINK_DOWN: &str = "net: link is down";
/// The guest's lines when disturbances may begin, and when they have to end.
const DISTURBED: &str = "postern: soak.state=disturbed";
const CALM: &str = "postern: soak.state=calm";
/// How long a stream may make no progress under disturbances.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Interval of the progress reports of a long soak.
const TELL: Duration = Duration::from_secs(10);
/// Kinds of disturbance.
const KINDS: u64 = 5;
/// Requests a second of a disk that is made slow.
const SLOW: u32 = 100;

/// When the disturbances end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// When the guest says so, by its own clock; progress is printed.
    Time(Duration),
    /// After enough requests and disturbances, when the guest is told to end.
    Enough,
}

/// The short one.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = vec![Test::new("soak/short", |context| run(context, Until::Enough, seed()))];
    tests.extend(faulty::tests());
    tests
}

/// The soak of `make soak`. The guest's requests to the host are not logged: there are too many.
#[must_use]
pub fn long(time: Duration, chosen: Option<u64>) -> Test {
    let seed = chosen.unwrap_or_else(seed);
    Test::new(format!("soak/{}-s/seed-{seed}", time.as_secs()), move |context| {
        run(context, Until::Time(time), seed)
    })
}

fn run(context: &Context, until: Until, seed: u64) -> Result<(), Failure> {
    let (time, observed) = match until {
        Until::Time(time) => (time, false),
        Until::Enough => (SHORT, true),
    };
    let mut fixture = Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Bios, true, true))?;
    let data = fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    // Its image is a plain file, in which a discard makes a hole.
    fixture.machine.disks.iter_mut().filter(|disk| disk.write).for_each(|disk| disk.unmap = true);
    let expected = digest(&data)?;
    fixture.machine.net = Net::User;
    // A pool so small that the work fills it now and then.
    fixture.word("run=soak pool=2M ip=10.0.2.15/24 gw=10.0.2.2");
    fixture.word(&format!("serve={} seed={seed}", time.as_secs()));
    let mut session = if observed {
        fixture.start()?
    } else {
        Session::start_unobserved(fixture.machine.clone(), fixture.protection.clone(), &mut fixture.dir)
            .map_err(Finding::Start)?
    };
    let mut findings = disturb(&mut session, seed, time + LIMIT, until);
    findings.extend(boot_matrix::exchange_and_end(&mut session, seed, observed));
    let finished = session.finish(time + LIMIT);
    if !observed {
        // Prints the results for the user.
        let lines = finished.output.console.lines();
        lines.filter(|line| line.contains("] soak: ")).for_each(|line| say!("{line}"));
    }
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge(&finished, &expected, observed));
    match File::open(&scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch, error)),
    }
    match digest(&data) {
        Ok(found) if found == expected => {}
        Ok(_) => findings.push(Finding::ImageChanged),
        Err(finding) => findings.push(finding),
    }
    verdict(finished, findings)
}

fn judge(finished: &Finished, digest: &str, observed: bool) -> Vec<Finding> {
    let facts = [
        ("blk0.sha256", digest),
        ("soak.pool_in_use", "0"),
        ("soak.pool_quarantined", "0"),
        ("soak.undefined", "0"),
    ];
    let mut findings: Vec<Finding> =
        facts.into_iter().filter_map(|(key, value)| judge::fact(finished, key, value)).collect();
    // Each kind of work and disturbance took place.
    for key in [
        "soak.discards",
        "soak.zeroes",
        "soak.requests",
        "soak.resets",
        "soak.lost",
        "soak.refused",
        "soak.resizes",
    ] {
        findings.extend(judge::positive(finished, key));
    }
    // Up at the start, and down at least once.
    if finished.report.number("soak.link_changes").is_none_or(|changes| changes < 2) {
        let found = finished.report.fact("soak.link_changes").map(str::to_owned);
        findings.push(Finding::Fact { key: "soak.link_changes", expected: "at least 2".to_owned(), found });
    }
    findings.extend(judge::ultracalls(finished, &SECURE_CALLS));
    if observed {
        findings.extend(judge::exposure(finished, true));
    }
    findings
}

/// Disturbs the guest until it says that the soak is over, and exchanges data with it all the time.
fn disturb(session: &mut Session, seed: u64, limit: Duration, until: Until) -> Vec<Finding> {
    if session.qemu.console().wait_for(limit, |line| line == DISTURBED).is_none() {
        return vec![Finding::NeverSaid(DISTURBED)];
    }
    let Some(socket) = &session.machine.monitor else { return Vec::new() };
    let asked = Monitor::connect(socket).and_then(|mut monitor| Ok((monitor.forwarded()?, monitor)));
    let (ports, mut monitor) = match asked {
        Ok(asked) => asked,
        Err(error) => return vec![Finding::Monitor(error)],
    };
    let (over, echoed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut findings = std::thread::scope(|scope| {
        let talk = scope.spawn(|| {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                match echo::tcp_within(ports.tcp, seed ^ round, 20_000, TIMEOUT) {
                    Ok(_) => drop(echoed.fetch_add(1, Ordering::Relaxed)),
                    // A stream may break, but the data that arrives must be correct.
                    Err(wrong @ EchoError::Wrong { .. }) => return Some(Finding::Echo(wrong)),
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
            None
        });
        let mut random = seed;
        // Each kind once, then any.
        let mut kinds = 0..KINDS;
        let (mut disturbances, mut enough) = (0, false);
        let (started, mut told) = (Instant::now(), Instant::now());
        let outcome = loop {
            if let Until::Time(whole) = until
                && told.elapsed() >= TELL
            {
                told = Instant::now();
                let streams = echoed.load(Ordering::Relaxed);
                let (since, whole) = (started.elapsed().as_secs(), whole.as_secs());
                say!("soak: {since} of {whole} s, {streams} TCP streams echoed");
            }
            random = splitmix64(random);
            let pause = Duration::from_millis(50 + random % 400);
            if session.qemu.console().wait_for(pause, |line| line == CALM).is_some() {
                break undo(&mut monitor).map_err(Finding::Monitor);
            }
            if session.qemu.has_ended() {
                break Err(Finding::NeverSaid(CALM));
            }
            if let Err(error) = disturbance(&mut monitor, kinds.next().unwrap_or(random >> 16), random >> 32)
            {
                break Err(Finding::Monitor(error));
            }
            disturbances += 1;
            if until == Until::Enough && !enough && disturbances >= DISTURBANCES {
                match monitor.disk_requests() {
                    Ok(requests) if requests < REQUESTS => {}
                    Ok(_) if noticed(session) => {
                        enough = true;
                        // A guest that has ended already is checked by its end.
                        drop(session.qemu.type_in(b"q"));
                    }
                    Ok(_) => {}
                    Err(error) => break Err(Finding::Monitor(error)),
                }
            }
        };
        over.store(true, Ordering::Relaxed);
        let wrong = talk.join().unwrap_or_default();
        outcome.err().into_iter().chain(wrong).collect::<Vec<_>>()
    });
    if echoed.into_inner() == 0 {
        findings.push(Finding::Idle("virtio-net"));
    }
    findings
}

/// Whether the guest has seen that its cable was pulled.
fn noticed(session: &Session) -> bool {
    session.qemu.console().wait_for(Duration::ZERO, |line| line.contains(LINK_DOWN)).is_some()
}

/// One disturbance; some end an earlier one.
fn disturbance(monitor: &mut Monitor, kind: u64, random: u64) -> Result<(), MonitorError> {
    match kind % KINDS {
        0 => monitor.resize(0, DATA_BYTES + ((1 + random % 8) << 20)),
        1 => monitor.resize(0, DATA_BYTES),
        2 => {
            monitor.set_link(false)?;
            // Longer than the interval at which the guest checks the link.
            std::thread::sleep(Duration::from_millis(150 + random % 200));
            monitor.set_link(true)
        }
        3 => monitor.throttle((random % 2) as usize, SLOW),
        _ => (0..2).try_for_each(|disk| monitor.throttle(disk, 0)),
    }
}

/// Undoes all disturbances.
fn undo(monitor: &mut Monitor) -> Result<(), MonitorError> {
    monitor.set_link(true)?;
    monitor.resize(0, DATA_BYTES)?;
    (0..2).try_for_each(|disk| monitor.throttle(disk, 0))
}
