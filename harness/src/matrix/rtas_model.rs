//! RTAS in the hands of a hostile host: trees in which services share a token, before the handlers of the published
//! ultravisor, which go by the token alone; and answers of any kind. No private byte changes or leaves.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::leak_hunt::planted;
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, seed, verdict};
use crate::session::Finished;
use crate::ultravisor::Violation;
use crate::ultravisor::doctor::Edit;
use crate::ultravisor::host::What::{Look, Noise};
use crate::ultravisor::host::{H_RTAS, Rule, Subject};
use crate::variable::Firmware;
use postern_cases::case;
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
        // The service whose handler is reached by the call of another, or the other way round.
        ("set-xive-starts", "ibm,set-xive", "start-cpu"),
        ("int-off-connects", "ibm,configure-connector", "ibm,int-off"),
        ("config-read-scans", "event-scan", "ibm,read-pci-config"),
        ("config-write-stores", "nvram-store", "ibm,write-pci-config"),
    ]
    .map(|(name, one, other)| Test::new(format!("rtas/{name}"), move |context| alias(context, one, other)));
    let answers = (1..=RUNS).map(|n| Test::new(format!("rtas/any-answer/{n}"), any_answer));
    aliases.into_iter().chain(answers).collect()
}

fn scene(context: &Context, rule: Rule, smp: u32) -> Result<(Scene, u64, std::path::PathBuf), Failure> {
    let shape = Shape { smp, ..Shape::new(Firmware::Bios, true, false) };
    let mut scene = Scene::new(context, shape)?;
    let canary = seed();
    let data = scene.data_disk(DATA_BYTES)?;
    scene.word(&format!("run=blk-digest canary={canary}"));
    if let Some(protection) = &mut scene.protection {
        protection.host = vec![rule];
    }
    Ok((scene, canary, data))
}

/// What the handlers did.
fn handled(violations: &[Violation]) -> impl Iterator<Item = Finding> {
    violations.iter().filter(|v| matches!(v, Violation::Rtas(..))).cloned().map(Finding::Ultracall)
}

fn alias(context: &Context, one: &'static str, other: &'static str) -> Result<(), Failure> {
    case!("INJ-08", Halt, Q);
    case!("RTA-01", Halt, Q);
    let (mut scene, ..) = scene(context, Rule::always(Subject::Hcall(H_RTAS), Look), 2)?;
    if let Some(protection) = &mut scene.protection {
        protection.edits = vec![Edit::Token(one, other)];
    }
    let finished = scene.start()?.finish(LIMIT);
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
    let (mut scene, canary, data) = scene(context, Rule::always(Subject::Hcall(H_RTAS), Noise(seed())), 2)?;
    let session = scene.start()?;
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

/// The twin of that: one byte of private memory changed, as by an answer that goes astray, is found.
fn finds_a_byte(memory: &File, finished: &Finished, canary: u64) -> Option<Finding> {
    let at = finished.report.number("canary.image")?;
    let mut byte = [0];
    let changed = memory.read_exact_at(&mut byte, at).and_then(|()| memory.write_all_at(&[byte[0] ^ 1], at));
    (changed.is_err() || planted(memory, finished, canary).is_empty()).then_some(Finding::Unnoticed)
}
