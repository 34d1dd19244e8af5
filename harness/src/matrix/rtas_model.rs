//! A hostile host's RTAS: trees in which services share a token, with the published ultravisor's handlers, which are chosen
//! by the token alone; and arbitrary answers. No private byte changes or is disclosed.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::leak_hunt::planted;
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::Violation;
use postern_ultravisor::doctor::Edit;
use postern_ultravisor::host::What::{Noise, Record};
use postern_ultravisor::host::{H_RTAS, Rule, Subject, What};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

const DATA_BYTES: u64 = 1 << 20;
/// Exit status: bad device tree.
const BAD_TREE: u8 = 2;
/// Runs with made-up answers.
const RUNS: u32 = 4;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let aliases = [
        // A call of the one service runs the other one's handler.
        ("set-xive-starts", "ibm,set-xive", "start-cpu"),
        ("int-off-connects", "ibm,configure-connector", "ibm,int-off"),
        ("config-read-scans", "event-scan", "ibm,read-pci-config"),
        ("config-write-stores", "nvram-store", "ibm,write-pci-config"),
    ]
    .map(|(name, one, other)| Test::new(format!("rtas/{name}"), move |context| alias(context, one, other)));
    let answers = (1..=RUNS).map(|n| Test::new(format!("rtas/any-answer/{n}"), any_answer));
    let busy = BUSY.iter().map(|(service, left)| {
        let name = format!("rtas/busy/{service}");
        Test::new(name, move |context| busy(context, service, *left))
    });
    let end = Test::new("rtas/busy/power-off", busy_end);
    aliases.into_iter().chain(answers).chain(busy).chain([end]).collect()
}

/// The result of a run in which a service never does anything.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// The work is done, and this fact shows what is missing.
    Work(&'static str, &'static str),
    /// No disk.
    Nothing,
}

/// Services that are always busy.
const BUSY: [(&str, Left); 5] = [
    ("start-cpu", Left::Work("cpu.online", "1")),
    ("ibm,read-pci-config", Left::Nothing),
    ("ibm,write-pci-config", Left::Nothing),
    ("ibm,change-msi", Left::Work("blk0.interrupts", "lsi")),
    ("ibm,set-xive", Left::Work("blk0.interrupts", "poll")),
];
/// "Busy", with the hint to wait for 100 s: the guest waits for 0.1 s.
const BUSY_ANSWER: What = What::Answer { status: 9905, value: 0 };
/// Most calls of a service within the two seconds for which the guest repeats it.
const MOST_CALLS: usize = 22;
/// Most further calls of a service after it failed once: one for each device and register.
const ONCE_EACH: usize = 300;
/// Exit status: a device is missing or failed.
const FAILED: u8 = 6;

/// A service always answers "busy": the guest repeats the call with pauses, and does not wait a second time.
fn busy(context: &Context, service: &'static str, left: Left) -> Result<(), Failure> {
    case!("RTA-08", Fail, Q);
    let (mut fixture, _, data) = fixture(context, Rule::always(Subject::Rtas(service), BUSY_ANSWER), 2)?;
    let finished = fixture.start()?.finish(LIMIT);
    let calls = finished.ultravisor.as_ref().map_or(0, |report| report.host.len());
    let mut findings = Vec::new();
    match left {
        Left::Work(key, value) => {
            findings.extend(judge::end(&finished, 0));
            findings.extend(judge::fact(&finished, key, value));
            findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
        }
        Left::Nothing => findings.extend(judge::end(&finished, FAILED)),
    }
    if calls == 0 {
        findings.push(Finding::Unnoticed);
    }
    if calls > MOST_CALLS + ONCE_EACH {
        findings.push(Finding::Times { text: service.to_owned(), times: calls });
    }
    verdict(finished, findings)
}

/// Power-off is busy at first: the guest asks again, and the run is no failure.
fn busy_end(context: &Context) -> Result<(), Failure> {
    case!("RTA-08", Fail, Q);
    case!("RTA-09", Halt, Q);
    let (mut fixture, ..) = fixture(context, Rule::nth(Subject::End, 1, BUSY_ANSWER), 1)?;
    if let Some(protection) = &mut fixture.protection {
        protection.host.push(Rule::nth(Subject::End, 2, BUSY_ANSWER));
    }
    let finished = fixture.start()?.finish(LIMIT);
    let findings = judge::end(&finished, 0);
    verdict(finished, findings)
}

fn fixture(context: &Context, rule: Rule, smp: u32) -> Result<(Fixture, u64, std::path::PathBuf), Failure> {
    let config = GuestConfig { smp, ..GuestConfig::new(Firmware::Bios, true, false) };
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    let canary = seed();
    let data = fixture.data_disk(DATA_BYTES)?;
    fixture.word(&format!("run=blk-digest canary={canary}"));
    if let Some(protection) = &mut fixture.protection {
        protection.host = vec![rule];
    }
    Ok((fixture, canary, data))
}

/// The violations that the handlers made.
fn handled(violations: &[Violation]) -> impl Iterator<Item = Finding> {
    violations.iter().filter(|v| matches!(v, Violation::Rtas(..))).cloned().map(Finding::Ultracall)
}

fn alias(context: &Context, one: &'static str, other: &'static str) -> Result<(), Failure> {
    case!("INJ-08", Halt, Q);
    case!("RTA-01", Halt, Q);
    let (mut fixture, ..) = fixture(context, Rule::always(Subject::Hcall(H_RTAS), Record), 2)?;
    if let Some(protection) = &mut fixture.protection {
        protection.edits = vec![Edit::Token(one, other)];
    }
    let finished = fixture.start()?.finish(LIMIT);
    let mut findings: Vec<Finding> =
        finished.ultravisor.iter().flat_map(|report| handled(&report.violations)).collect();
    findings.extend(judge::end(&finished, BAD_TREE));
    if !finished.output.console.contains("token") {
        findings.push(Finding::NeverSaid("token"));
    }
    verdict(finished, findings)
}

fn any_answer(context: &Context) -> Result<(), Failure> {
    case!("INJ-09", Halt, Q);
    let (mut fixture, canary, data) =
        fixture(context, Rule::always(Subject::Hcall(H_RTAS), Noise(seed())), 2)?;
    let session = fixture.start()?;
    let path = session.machine.attachment.as_ref().map(|attachment| attachment.memory.clone());
    let finished = session.finish(LIMIT);
    let mut findings: Vec<Finding> =
        finished.ultravisor.iter().flat_map(|report| handled(&report.violations)).collect();
    let status = finished.report.exit_status;
    if status.is_none() {
        findings.extend(judge::end(&finished, 0));
    }
    if status == Some(0) {
        findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
    }
    if finished.report.fact("canary.image").is_some()
        && let Some(path) = path
    {
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| Finding::File(path, error))?;
        findings.extend(planted(&memory, &finished, canary));
        findings.extend(finds_a_byte(&memory, &finished, canary));
    }
    findings.extend(judge::strict(&finished));
    verdict(finished, findings)
}

/// Shows that the check works: it finds one changed byte of private memory, as from a misdirected answer.
fn finds_a_byte(memory: &File, finished: &Finished, canary: u64) -> Option<Finding> {
    let at = finished.report.number("canary.image")?;
    let mut byte = [0];
    let changed = memory.read_exact_at(&mut byte, at).and_then(|()| memory.write_all_at(&[byte[0] ^ 1], at));
    (changed.is_err() || planted(memory, finished, canary).is_empty()).then_some(Finding::Unnoticed)
}
