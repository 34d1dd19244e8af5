//! Interrupts of a hostile hypervisor's choice: any slot below 0x2000, at any instruction, as the published
//! ultravisor allows. The work is correct, or the guest halts and shows no register.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::boot_matrix::{SERVING, exchange_and_end};
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern::{self, splitmix64};
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_cases::case;
use postern_ultravisor::End;
use postern_ultravisor::host::{H_RTAS, Rule, Subject, What};
use postern_ultravisor::inject::{
    Act, Attack, Attacked, Interrupts, Moment, Random, SLOT, SLOTS_END, Trigger,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The guests' job.
const DIGEST: &str = "blk-digest";
const ALL: &str = "blk-digest,blk-pattern,net-serve";
/// Bytes of a disk: so many that most of a run is its digest.
const DATA_BYTES: u64 = (16 << 20) + 512;
/// The same for many interrupts.
const MANY_BYTES: u64 = 16 << 20;
const SCRATCH_BYTES: u64 = 1 << 20;
/// How often the host does not end the machine when it is told to.
const REFUSALS: u64 = 5;
/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// Places at which every slot is tried.
const PLACES: u32 = 4;
/// Places at which handlers are interrupted themselves, and interrupts of them there, at least.
const NESTS: u32 = 4;
const NESTED: u32 = 30;
/// Least and most interrupts that the guest has to handle: each costs the host more than the guest.
const MANY: [u32; 2] = [600, 100_000];
/// External interrupt and decrementer: the host may send them at any time, and the guest returns from them.
const RETURNING: [u64; 2] = [0x500, 0x900];
/// A system reset ends the guest.
const SYSTEM_RESET: u64 = 0x100;
/// Slots from which the interrupted code continues with a changed register. Tests of these slots put no secrets into
/// registers.
const EFFECTS: [u64; 2] = [0x920, 0xc00];
/// The least number that the console is searched for: smaller numbers occur in any log.
const TELLING: u64 = 1 << 28;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = vec![Test::new("injection/slots", probe), Test::new("injection/many", many)];
    tests.extend([
        at("external", 0x500),
        at("decrementer", 0x900),
        at("system-reset", 0x100),
        at("middle-of-decrementer", 0x920),
        at("hypervisor-decrementer", 0x980),
        at("system-call", 0xc00),
        at("reset-handler", 0x1c00),
        at("last", SLOTS_END - SLOT),
    ]);
    tests.push(Test::new("injection/once/any", |context| {
        once(context, Random::new(seed()).below(SLOTS_END / SLOT) * SLOT)
    }));
    tests.push(Test::new("injection/nested/any", nest));
    for slot in [0x500, 0x900, 0xc00] {
        let name = format!("injection/nested/{slot:#x}");
        tests.push(Test::new(name, move |context| nested(context, slot)));
    }
    tests.push(Test::new("injection/once/product", report));
    for (name, nested) in [("report", None), ("halt", Some(0))] {
        tests.push(Test::new(format!("injection/after-the-end/{name}"), move |context| {
            after_the_end(context, nested)
        }));
    }
    tests
}

fn at(name: &str, slot: u64) -> Test {
    Test::new(format!("injection/once/{name}"), move |context| once(context, slot))
}

/// A guest that computes a digest, and the digest's expected value.
struct Worker {
    fixture: Fixture,
    trigger: Trigger,
    data: PathBuf,
    canary: u64,
    /// Seed of the attack's random choices.
    seed: u64,
}

fn worker(
    context: &Context,
    job: &str,
    bytes: u64,
    act: impl FnOnce(u64) -> Act,
    gap: Duration,
) -> Result<Worker, Failure> {
    let mut worker = without_canaries(&context.on_test_image(), job, bytes, act, gap)?;
    let canary = worker.canary;
    worker.fixture.word(&format!("canary={canary}"));
    Ok(worker)
}

/// The same for an image without canaries in its memory: the host puts canaries into registers.
fn without_canaries(
    context: &Context,
    job: &str,
    bytes: u64,
    act: impl FnOnce(u64) -> Act,
    gap: Duration,
) -> Result<Worker, Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, false))?;
    let canary = seed();
    let data = fixture.data_disk(bytes)?;
    fixture.word(&format!("run={job}"));
    // The host owns low memory until the kernel's first instructions have written to it; the kernel prints after that.
    let trigger = Trigger::later();
    let seed = seed();
    let attack = Attack { seed, trigger: trigger.clone(), gap, act: act(canary) };
    if let Some(protection) = &mut fixture.protection {
        protection.attack = Some(attack);
    }
    Ok(Worker { fixture, trigger, data, canary, seed })
}

impl Worker {
    /// Starts it, and the attack.
    fn start(&mut self, limit: Duration) -> Result<Session, Failure> {
        let session = self.fixture.start()?;
        // A guest that never prints is checked by its end.
        drop(session.qemu.console().wait_for(limit, |line| line.starts_with('[')));
        self.trigger.pull();
        Ok(session)
    }

    /// No findings, or a failure with the attack's seed.
    fn verdict(&self, finished: Finished, mut findings: Vec<Finding>) -> Result<(), Failure> {
        if !findings.is_empty() {
            findings.push(Finding::Seed(self.seed));
        }
        verdict(finished, findings)
    }

    /// Runs it under attack.
    fn run(&mut self, limit: Duration) -> Result<Finished, Failure> {
        Ok(self.start(limit)?.finish(limit))
    }
}

fn attacked(finished: &Finished) -> Attacked {
    finished.ultravisor.as_ref().map(|report| report.attacked.clone()).unwrap_or_default()
}

/// At each place all 256 slots: a handler restores every register, or does not return.
fn probe(context: &Context) -> Result<(), Failure> {
    case!("INJ-03", Halt, Q);
    let mut worker = worker(context, DIGEST, DATA_BYTES, |_| Act::Probe(PLACES), Duration::from_millis(100))?;
    let finished = worker.run(LIMIT)?;
    let attacked = attacked(&finished);
    let mut findings: Vec<Finding> = attacked.weaknesses.iter().cloned().map(Finding::Weakness).collect();
    if u64::from(attacked.entries) != u64::from(PLACES) * (SLOTS_END / SLOT) || attacked.returned == 0 {
        findings.push(Finding::Unnoticed);
    }
    findings.extend(done(&finished, &worker.data)?);
    worker.verdict(finished, findings)
}

/// At each place handlers are interrupted after each of their instructions: an interrupted handler restores every
/// register, or reports.
fn nest(context: &Context) -> Result<(), Failure> {
    case!("INJ-04", Halt, Q);
    let mut worker = worker(context, DIGEST, DATA_BYTES, |_| Act::Nest(NESTS), Duration::from_millis(100))?;
    let finished = worker.run(LIMIT)?;
    let attacked = attacked(&finished);
    let mut findings: Vec<Finding> = attacked.weaknesses.iter().cloned().map(Finding::Weakness).collect();
    let least = NESTS * NESTED;
    if attacked.entries < least {
        let (least, found) = (least.into(), attacked.entries.into());
        findings.push(Finding::TooFew { what: "interrupts of handlers", least, found });
    }
    findings.extend(done(&finished, &worker.data)?);
    worker.verdict(finished, findings)
}

/// Checks that all the work is done and correct.
fn done(finished: &Finished, data: &Path) -> Result<Vec<Finding>, Finding> {
    let mut findings = judge::end(finished, 0);
    findings.extend(judge::fact(finished, "blk0.sha256", &digest(data)?));
    Ok(findings)
}

/// Checks that the work is correct, or that the guest halts in time and shows no register.
fn done_or_halted(finished: &Finished, data: &Path, canary: u64) -> Result<Vec<Finding>, Finding> {
    let moments = attacked(finished).moments;
    let mut findings = if finished.report.exit_status == Some(EXCEPTION) {
        judge::end(finished, EXCEPTION)
    } else {
        done(finished, data)?
    };
    if let Some(End::Failed(error)) = finished.ultravisor.as_ref().map(|report| &report.end) {
        findings.push(Finding::Ultravisor(error.to_string()));
    }
    let ends = finished.output.console.lines().filter(|line| line.starts_with("EXIT: STATUS=")).count();
    if ends > 1 {
        findings.push(Finding::ExitLines(ends));
    }
    if moments.is_empty() {
        findings.push(Finding::Unnoticed);
    }
    findings.extend(shown(&finished.output.console, &moments));
    let (before, report) = parts(&finished.output.console);
    let words = (0..512).map(|n| splitmix64(canary.wrapping_add(n)));
    let secret = words.into_iter().find(|word| shows(before, *word) || shows(report, *word));
    findings.extend(secret.map(Finding::Shown));
    Ok(findings)
}

/// A register of these moments that the report of an exception shows.
pub(super) fn shown(console: &str, moments: &[Moment]) -> Option<Finding> {
    let (_, report) = parts(console);
    let mut registers = moments.iter().flat_map(|moment| &moment.gpr);
    registers.find(|value| shows(report, **value)).map(|value| Finding::Shown(*value))
}

/// A console, split at the report of an exception. Facts before it may be addresses.
fn parts(console: &str) -> (&str, &str) {
    console.split_at(console.find("EXCEPTION").or_else(|| console.find("exception")).unwrap_or(console.len()))
}

/// Whether a text shows this number, or either half of it if it is as long as a secret.
fn shows(text: &str, value: u64) -> bool {
    let found = |value: u64| value >= TELLING && value != u64::MAX && text.contains(&format!("{value:x}"));
    found(value)
        || (value >> 60 != 0 && value >> 60 != 15 && (found(value >> 32) || found(value & 0xffff_ffff)))
}

fn many(context: &Context) -> Result<(), Failure> {
    case!("INJ-02", Ignore, Q);
    let act = |_| {
        Act::Interrupt(Interrupts { slots: RETURNING.into(), count: MANY[1], nested: None, secret: None })
    };
    let mut worker = worker(context, ALL, MANY_BYTES, act, Duration::from_micros(100))?;
    let seed = worker.canary;
    let scratch = worker.fixture.scratch_disk(SCRATCH_BYTES)?;
    worker.fixture.machine.net = Net::User;
    worker.fixture.word(&format!("serve=100 seed={seed}"));
    let mut session = worker.start(LIMIT)?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_some() {
        // On a fast host the disks' work ends early.
        let deadline = Instant::now() + LIMIT;
        while worker.trigger.moments() < MANY[0] && !session.qemu.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        findings.extend(exchange_and_end(&mut session, seed, false));
    }
    let finished = session.finish(LIMIT);
    findings.extend(done_or_halted(&finished, &worker.data, worker.canary)?);
    if finished.report.exit_status == Some(0) {
        match File::open(&scratch) {
            Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
            Err(error) => findings.push(Finding::File(scratch, error)),
        }
        let entries = attacked(&finished).entries;
        if entries < MANY[0] {
            findings.push(Finding::Fact {
                key: "interrupts",
                expected: format!("at least {}", MANY[0]),
                found: Some(entries.to_string()),
            });
        }
    }
    worker.verdict(finished, findings)
}

fn once(context: &Context, slot: u64) -> Result<(), Failure> {
    case!("INJ-03", Halt, Q);
    case!("INJ-05", Halt, Q);
    let act = |canary| {
        let secret = (!RETURNING.contains(&slot) && !EFFECTS.contains(&slot)).then_some(canary);
        // A handler that returns may do harm at some instructions only.
        let count = if EFFECTS.contains(&slot) { 50 } else { 1 };
        Act::Interrupt(Interrupts { slots: vec![slot], count, nested: None, secret })
    };
    let mut worker = worker(context, DIGEST, DATA_BYTES, act, Duration::from_millis(100))?;
    let finished = worker.run(LIMIT)?;
    let findings = done_or_halted(&finished, &worker.data, worker.canary)?;
    worker.verdict(finished, findings)
}

/// A system reset while the registers hold secrets: the report shows none of them.
pub(super) fn report(context: &Context) -> Result<(), Failure> {
    case!("INJ-05", Halt, Q);
    let act = |canary| {
        Act::Interrupt(Interrupts { slots: vec![SYSTEM_RESET], count: 1, nested: None, secret: Some(canary) })
    };
    let mut worker = without_canaries(context, DIGEST, DATA_BYTES, act, Duration::from_millis(100))?;
    let finished = worker.run(LIMIT)?;
    let findings = done_or_halted(&finished, &worker.data, worker.canary)?;
    worker.verdict(finished, findings)
}

/// The host does not end the machine when the guest asks for it, and interrupts the guest instead. With `nested` it
/// interrupts the handler again after that number of instructions, so that the guest ends without a report.
fn after_the_end(context: &Context, nested: Option<u32>) -> Result<(), Failure> {
    case!("OUT-08", Halt, Q);
    case!("RTA-09", Halt, Q);
    let act = |_| Act::Interrupt(Interrupts { slots: vec![SYSTEM_RESET], count: 1, nested, secret: None });
    let mut worker = worker(context, DIGEST, SCRATCH_BYTES, act, Duration::from_millis(100))?;
    if let Some(protection) = &mut worker.fixture.protection {
        let refused = What::Answer { status: -1, value: 0 };
        // Refuses power-off, and the guest's next requests, for some seconds.
        protection.host = (1..=REFUSALS).map(|nth| Rule::nth(Subject::End, nth, refused)).collect();
        // Records all such calls.
        protection.host.push(Rule::always(Subject::Hcall(H_RTAS), What::Record));
    }
    let session = worker.fixture.start()?;
    drop(session.qemu.console().wait_for(LIMIT, |line| line.starts_with("EXIT: ")));
    worker.trigger.pull();
    let finished = session.finish(LIMIT);
    let mut findings = Vec::new();
    if attacked(&finished).moments.is_empty() {
        findings.push(Finding::Unnoticed);
    }
    findings.extend(judge::end_in_any_way(&finished, 0));
    verdict(finished, findings)
}

fn nested(context: &Context, slot: u64) -> Result<(), Failure> {
    case!("INJ-04", Halt, Q);
    let after = Random::new(seed()).below(8) as u32;
    let act =
        |_| Act::Interrupt(Interrupts { slots: vec![slot], count: 1, nested: Some(after), secret: None });
    let mut worker = worker(context, DIGEST, DATA_BYTES, act, Duration::from_millis(100))?;
    let finished = worker.run(LIMIT)?;
    let findings = done_or_halted(&finished, &worker.data, worker.canary)?;
    worker.verdict(finished, findings)
}
