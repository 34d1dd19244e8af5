//! A vCPU that the hypervisor stops at any point, for a while or for ever: the other CPUs' data stays correct, and the run
//! ends with its work done or with a message that names the failure.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::partition;
use crate::pattern;
use crate::qemu::process::Ended;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::host::What::{Record, Result as Changed};
use postern_ultravisor::host::{H_RTAS, H_XIRR, Rule, Subject, Value};
use postern_ultravisor::inject::{Act, Attack, Pauses, Place, Trigger};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DATA_BYTES: u64 = (8 << 20) + 512;
const SCRATCH_BYTES: u64 = 2 << 20;
/// Time limit of a guest that is expected to hang.
const SOON: Duration = Duration::from_secs(8);
/// Time limit of a guest that notices after 20 seconds that no CPU works.
const QUIET_LIMIT: Duration = Duration::from_secs(90);
/// Time limit of a guest that waits for a lock without a limit: several times the kernel's longest wait.
const TWIN_LIMIT: Duration = Duration::from_secs(20);
/// The guest's message then.
const STANDS_STILL: &str = "cpu 0: stopped: no CPU has made progress for 20s";
/// Locks that the boot CPU takes after it has started the others.
const OF_BOOT_CPU: [&str; 10] = [
    "log",
    "console",
    "serial card",
    "RTAS call",
    "list of devices",
    "disk's registers",
    "heap",
    "pool",
    "interrupt controller",
    "translation tables",
];
/// Longer than a CPU waits for another one's lock.
const LONG: Duration = Duration::from_millis(2500);
/// Longer than that, and longer than the wait for a CPU that is started.
const LONGER: Duration = Duration::from_millis(4500);
/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// An interrupt source that no device has, at the priority of devices. The CPU that takes it masks it through RTAS.
const NOBODYS: u64 = 0x0500_1234;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let in_rtas = |length| Pauses { cpu: 1, count: 1, length, place: Place::Rtas };
    let mut tests = vec![
        test("anywhere/cpu-0", anywhere(0, 2, Some(LONG))),
        test("anywhere/cpu-1", anywhere(1, 2, Some(LONG))),
        test("anywhere/for-ever", anywhere(1, 1, None)),
        test("rtas", in_rtas(Some(LONGER))),
        test("rtas/for-ever", in_rtas(None)),
        Test::new("pause/last-call", last_call),
        Test::new("pause/twin", twin),
        Test::new("pause/start", late),
    ];
    tests.extend(LOCKS.iter().map(|held| {
        Test::new(format!("pause/lock/{}", held.test), |context| stuck(context, held, QUIET_LIMIT))
    }));
    tests.push(Test::new("pause/boot-cpu/anywhere", |context| boot_cpu(context, Place::Anywhere)));
    tests.extend(OF_BOOT_CPU.iter().chain([&TCE]).map(|name| {
        let test = format!("pause/boot-cpu/{}", name.replace(' ', "-").replace('\'', ""));
        Test::new(test, |context| boot_cpu(context, Place::Lock { name, nth: 1 }))
    }));
    tests
}

/// A lock with which the second CPU is stopped for ever.
struct Held {
    test: &'static str,
    /// Its name.
    lock: &'static str,
    /// Which acquisition of it, counted from 1.
    nth: u32,
    job: &'static str,
    /// The exit status: the other CPUs go on, or cannot.
    status: u8,
    /// Whether others wait for the lock and print that they gave up.
    awaited: bool,
}

/// The locks that the second CPU takes by itself. It reads its mailbox before it reports that it is running, and once
/// more.
const LOCKS: &[Held] = &[
    Held { test: "heap", lock: "heap", nth: 1, job: SHARED, status: STOPPED, awaited: true },
    Held { test: "pool", lock: "pool", nth: 1, job: SHARED, status: FAILED, awaited: true },
    Held { test: "mail", lock: "work of another CPU", nth: 2, job: SHARED, status: FAILED, awaited: true },
    Held { test: "answer", lock: "answer of another CPU", nth: 1, job: WARMED, status: 0, awaited: true },
    Held {
        test: "answer-of-a-share",
        lock: "answer of another CPU",
        nth: 1,
        job: SHARED,
        status: FAILED,
        awaited: true,
    },
    Held { test: "tce-window", lock: TCE, nth: 1, job: SHARED, status: FAILED, awaited: true },
    Held { test: "interrupts", lock: "interrupt controller", nth: 1, job: ALONE, status: 0, awaited: true },
    // It holds the log's lock for the report of its own exception.
    Held { test: "log", lock: "log", nth: 1, job: BREACH, status: UNEXPECTED, awaited: false },
    Held { test: "console", lock: "console", nth: 1, job: BREACH, status: UNEXPECTED, awaited: true },
    Held {
        test: "serial-card",
        lock: "serial card",
        nth: 1,
        job: BREACH,
        status: UNEXPECTED,
        awaited: false,
    },
];
/// The lock of an ordinary guest whose pages are mapped for devices one request at a time.
const TCE: &str = "addresses of the TCE window";
const BREACH: &str = "breach-other-stack-overflow";
const ALONE: &str = "blk-digest,blk-pattern";
const SHARED: &str = "blk-smp";
/// Words for the test image (`canary`). That image gives each CPU work before the job, and continues if a CPU does not do
/// it.
const WARMED: &str = "blk-digest,blk-pattern canary=7";
/// Exit statuses: a device or a CPU failed; a stopped CPU keeps a lock that all need.
const FAILED: u8 = 6;
const STOPPED: u8 = 13;
/// Exit status: a deliberate breach was not stopped, as far as the boot CPU knows.
const UNEXPECTED: u8 = 7;

/// As `pause/lock/heap`, for a guest that is expected to hang.
pub(super) fn heap_for_ever(context: &Context) -> Result<(), Failure> {
    LOCKS.iter().filter(|held| held.test == "heap").try_for_each(|held| stuck(context, held, TWIN_LIMIT))
}

/// A CPU is stopped for ever while it holds a lock. The others' wait ends, and the run ends with a message that names it.
fn stuck(context: &Context, held: &'static Held, limit: Duration) -> Result<(), Failure> {
    case!("LCK-03", Fail, Q);
    case!("LCK-03", Halt, Q);
    let pauses =
        Pauses { cpu: 1, count: 1, length: None, place: Place::Lock { name: held.lock, nth: held.nth } };
    let image = if [BREACH, WARMED].contains(&held.job) { &context.on_test_image() } else { context };
    let (mut fixture, seed, ..) = fixture_of(image, config_with(held.lock), held.job)?;
    let trigger = if held.job == BREACH || held.lock == TCE { Trigger::later() } else { Trigger::at_esm() };
    attack_from(&mut fixture, seed, trigger.clone(), pauses);
    let session = fixture.start()?;
    if held.job == BREACH || held.lock == TCE {
        drop(session.qemu.console().wait_for(QUIET_LIMIT, |line| line.contains("] cpus: 2 online")));
        trigger.pull();
    }
    let finished = session.finish(limit);
    let mut findings = attack_findings(&finished);
    findings.extend(judge::end(&finished, held.status));
    let said = format!("error: another CPU is stopped and does not release the {}", held.lock);
    // An ordinary guest that fails prints its log a second time.
    let lines: BTreeSet<_> = finished.output.console.lines().filter(|line| line.ends_with(&said)).collect();
    let times = lines.len();
    if times != usize::from(held.awaited) {
        findings.push(Finding::Times { text: said, times });
    }
    verdict(finished, findings)
}

/// The boot CPU is stopped for ever, while it works or holds a lock. A parked CPU ends the run.
fn boot_cpu(context: &Context, place: Place) -> Result<(), Failure> {
    case!("LCK-03", Halt, Q);
    case!("LCK-06", Halt, Q);
    let trigger = Trigger::later();
    let lock = if let Place::Lock { name, .. } = place { name } else { "" };
    let (mut fixture, seed, ..) = fixture_of(context, config_with(lock), "blk-digest,blk-pattern,map")?;
    attack_from(&mut fixture, seed, trigger.clone(), Pauses { cpu: 0, count: 1, length: None, place });
    let session = fixture.start()?;
    drop(session.qemu.console().wait_for(QUIET_LIMIT, |line| line.contains("] cpus: 2 online")));
    trigger.pull();
    let finished = session.finish(QUIET_LIMIT);
    let mut findings = attack_findings(&finished);
    findings.extend(judge::end(&finished, STOPPED));
    if !finished.output.console.contains(STANDS_STILL) {
        findings.push(Finding::NeverSaid(STANDS_STILL));
    }
    verdict(finished, findings)
}

/// A started CPU arrives when the boot CPU no longer waits for it and the run ends: it is parked.
fn late(context: &Context) -> Result<(), Failure> {
    case!("LCK-05", Ignore, Q);
    let pauses = Pauses { cpu: 1, count: 1, length: None, place: Place::Start };
    let (mut fixture, seed, data, scratch) = fixture(context, 2, ALONE)?;
    attack(&mut fixture, seed, pauses);
    if let Some(protection) = &mut fixture.protection {
        protection.host = vec![Rule::always(Subject::Hcall(H_RTAS), Record)];
    }
    let finished = fixture.start()?.finish(LIMIT);
    let mut findings = attack_findings(&finished);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "cpu.online", "1"));
    findings.extend(work(&finished, None, &data, &scratch, seed)?);
    verdict(finished, findings)
}

/// Checks that the attack took place, and its findings.
fn attack_findings(finished: &Finished) -> Vec<Finding> {
    let attacked = finished.ultravisor.as_ref().map(|report| report.attacked.clone()).unwrap_or_default();
    let mut findings: Vec<Finding> = attacked.weaknesses.into_iter().map(Finding::Weakness).collect();
    if attacked.moments.is_empty() {
        findings.push(Finding::Unnoticed);
    }
    findings
}

fn test(name: &str, pauses: Pauses) -> Test {
    Test::new(format!("pause/{name}"), move |context| paused(context, pauses))
}

fn anywhere(cpu: usize, count: u32, length: Option<Duration>) -> Pauses {
    Pauses { cpu, count, length, place: Place::Anywhere }
}

fn config(smp: u32) -> GuestConfig {
    GuestConfig { smp, ..GuestConfig::new(Firmware::Bios, true, false) }
}

/// Two CPUs that use this lock.
fn config_with(lock: &str) -> GuestConfig {
    let ordinary = lock == TCE;
    GuestConfig { access_platform: ordinary, dynamic_windows: !ordinary, ..config(2) }
}

fn fixture(context: &Context, smp: u32, job: &str) -> Result<(Fixture, u64, PathBuf, PathBuf), Failure> {
    fixture_of(context, config(smp), job)
}

/// A guest with a job, its seed, and its disks. It is an ordinary guest if devices can only use the bridge's first window.
fn fixture_of(
    context: &Context,
    config: GuestConfig,
    job: &str,
) -> Result<(Fixture, u64, PathBuf, PathBuf), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    if !config.dynamic_windows {
        fixture.word("svm=off");
    }
    let seed = seed();
    let data = fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.word(&format!("run={job} device-timeout=3 seed={seed}"));
    Ok((fixture, seed, data, scratch))
}

fn attack(fixture: &mut Fixture, seed: u64, pauses: Pauses) {
    attack_from(fixture, seed, Trigger::at_esm(), pauses);
}

fn attack_from(fixture: &mut Fixture, seed: u64, trigger: Trigger, pauses: Pauses) {
    if let Some(protection) = &mut fixture.protection {
        let gap = Duration::from_millis(10);
        protection.attack = Some(Attack { seed, trigger, gap, act: Act::Pause(pauses) });
    }
}

fn paused(context: &Context, pauses: Pauses) -> Result<(), Failure> {
    case!("INJ-06", Halt, Q);
    case!("LCK-02", Halt, Q);
    let (finished, findings) = judged(context, pauses, 2, LIMIT)?;
    verdict(finished, findings)
}

/// The only CPU is stopped for ever: a run that never ends is reported.
fn twin(context: &Context) -> Result<(), Failure> {
    let (finished, findings) = judged(context, anywhere(0, 1, None), 1, SOON)?;
    let endless = |finding: &Finding| matches!(finding, Finding::Ended { found: Ended::TimedOut(_), .. });
    let found = findings.iter().any(endless);
    verdict(finished, if found { Vec::new() } else { vec![Finding::Unnoticed] })
}

/// A run with these pauses, and its findings.
fn judged(
    context: &Context,
    pauses: Pauses,
    smp: u32,
    limit: Duration,
) -> Result<(Finished, Vec<Finding>), Failure> {
    // The kernel waits two minutes for a CPU's work; a CPU that is stopped for ever gets none.
    let shared = pauses.length.is_some();
    let job = if shared { "blk-smp" } else { "blk-digest,blk-pattern" };
    let (mut fixture, seed, data, scratch) = fixture(context, smp, job)?;
    attack(&mut fixture, seed, pauses);
    if let Some(protection) = fixture.protection.as_mut().filter(|_| pauses.place == Place::Rtas) {
        protection.host = vec![
            Rule::nth(Subject::Hcall(H_XIRR), 1, Changed(Value::Is(NOBODYS))),
            Rule::always(Subject::Hcall(H_RTAS), Record),
        ];
    }
    let finished = fixture.start()?.finish(limit);
    let mut findings = attack_findings(&finished);
    findings.extend(judge::strict(&finished));
    match finished.report.exit_status {
        None | Some(0) => {
            findings.extend(judge::end(&finished, 0));
            let shared = shared && finished.report.fact("cpu.answered") == Some("1");
            findings.extend(work(&finished, shared.then(|| config(smp)), &data, &scratch, seed)?);
        }
        Some(named) => findings.extend(judge::end(&finished, named)),
    }
    Ok((finished, findings))
}

/// The CPU that reports an exception is stopped for ever in the call that ends the run. The other one fails later, and
/// ends it.
fn last_call(context: &Context) -> Result<(), Failure> {
    case!("INJ-06", Halt, Q);
    case!("LCK-04", Halt, Q);
    let mut fixture = Fixture::new(&context.on_test_image(), config(2))?;
    fixture.word("run=breach-other-stack-overflow");
    if let Some(protection) = &mut fixture.protection {
        let act = Act::Pause(Pauses { cpu: 1, count: 1, length: None, place: Place::Rtas });
        let (trigger, gap) = (Trigger::at_esm(), Duration::from_millis(100));
        protection.attack = Some(Attack { seed: seed(), trigger, gap, act });
        protection.host = vec![Rule::always(Subject::Hcall(H_RTAS), Record)];
    }
    let finished = fixture.start()?.finish(LIMIT);
    let mut findings = judge::end(&finished, EXCEPTION);
    if finished.ultravisor.as_ref().is_none_or(|report| report.attacked.moments.is_empty()) {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}

/// Checks the work of a run with status 0: done by all CPUs of a configuration, or by the boot CPU.
fn work(
    finished: &Finished,
    by_all: Option<GuestConfig>,
    data: &Path,
    scratch: &Path,
    seed: u64,
) -> Result<Vec<Finding>, Finding> {
    let mut findings: Vec<Finding> = match by_all {
        Some(GuestConfig { smp, .. }) => {
            let read = partition::judge(&finished.report, "blk0", smp, smp, DATA_BYTES, Some(data));
            read.into_iter().map(Finding::Part).collect()
        }
        None if finished.report.fact("blk0.sha256").is_some() => {
            judge::fact(finished, "blk0.sha256", &digest(data)?).into_iter().collect()
        }
        None => Vec::new(),
    };
    match File::open(scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch.to_path_buf(), error)),
    }
    Ok(findings)
}
