//! The command `postern-ultravisor` as a person calls it, with guests that do what it has to find.

use crate::finding::Finding;
use crate::guest::tiny::{self, Last};
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::runner::Test;
use crate::qemu::process::Output;
use postern_ultravisor::workdir::Workdir;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

/// Exit status of `postern-ultravisor run` that found something.
const FOUND: i32 = 3;
/// What makes QEMU's machine one that TCG has without warnings.
const MACHINE: &str = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let hypercalls = [("little-endian", true), ("big-endian", false)].map(|(name, little)| {
        Test::new(format!("tool/hypercalls/{name}"), move |context| hypercalls(context, little))
    });
    hypercalls.into_iter().chain([Test::new("tool/live-hcalls", live)]).collect()
}

/// The command, built once for all tests.
///
/// # Errors
/// It cannot be built.
pub fn command() -> Result<PathBuf, Finding> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let build = || {
        let cargo = Command::new("scripts/cargo").args(["-q", "build", "-p", "postern-ultravisor"]).output();
        let cargo = cargo.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&cargo.stderr).into_owned();
        if cargo.status.success() { Ok(()) } else { Err(said) }
    };
    let failed = |error: &str| Finding::File("scripts/cargo".into(), io::Error::other(error.to_owned()));
    BUILT.get_or_init(build).as_ref().map_err(|error| failed(error))?;
    let me = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    Ok(me.with_file_name("postern-ultravisor"))
}

/// What the command left.
struct Said {
    status: Option<i32>,
    /// The summary, as JSON.
    summary: Value,
    output: Output,
}

/// Runs the smallest guest under the command.
fn run(context: &Context, guest: &[u8], options: &[&str]) -> Result<Said, Failure> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| Finding::File(path, error)
    };
    let dir = Workdir::new().map_err(failed(&std::env::temp_dir()))?;
    let (kernel, initrd, json) = (dir.path("kernel"), dir.path("initrd"), dir.path("json"));
    std::fs::write(&kernel, guest).map_err(failed(&kernel))?;
    std::fs::write(&initrd, [0x5a; 4096]).map_err(failed(&initrd))?;
    let started = Instant::now();
    let output = Command::new(command()?)
        .arg("run")
        .args(options)
        .arg("--json")
        .arg(&json)
        .arg("--")
        // A guest that nobody ends is given an end.
        .args(["timeout", "120"])
        .arg(&context.qemu)
        .args(["-M", MACHINE, "-cpu", "power9", "-m", "256M", "-nodefaults", "-nographic", "-vga", "none"])
        .args(["-no-reboot", "-append", "svm=on", "-bios"])
        .arg(std::path::absolute(&context.rom).map_err(failed(&context.rom))?)
        .arg("-kernel")
        .arg(&kernel)
        .arg("-initrd")
        .arg(&initrd)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(failed(Path::new("postern-ultravisor")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = std::fs::read_to_string(&json).unwrap_or_default();
    let last = lines.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    Ok(Said {
        status: output.status.code(),
        summary: last.map(|mut last| last["summary"].take()).unwrap_or_default(),
        output: Output {
            console: text(&output.stdout),
            errors: text(&output.stderr),
            elapsed: started.elapsed(),
        },
    })
}

fn differs(key: &'static str, expected: &str, found: &str) -> Option<Finding> {
    let (expected, found) = (expected.to_owned(), Some(found.to_owned()));
    (Some(&expected) != found.as_ref()).then_some(Finding::Fact { key, expected, found })
}

fn verdict(said: Said, findings: Vec<Finding>) -> Result<(), Failure> {
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(said.output) }) }
}

/// Calls outside the table and with private memory are counted by number, with the first; good ones are not.
fn hypercalls(context: &Context, little: bool) -> Result<(), Failure> {
    let private = 0x10_0000;
    let calls = [
        // H_PUT_TERM_CHAR of nothing.
        vec![0x58, 0, 0],
        // H_LOGICAL_CACHE_LOAD, which the published ultravisor does not know.
        vec![0x44, 1, 2],
        vec![0x44, 3, 4],
        // H_PUT_TCE_INDIRECT with a private list.
        vec![0x13c, 0x7fff_0000, 0, private, 1],
        // H_REG_CRQ with an I/O address, which is the trace's to judge.
        vec![0xfc, 0x7100_0000, 0x1000, 0x1000],
    ];
    let guest = tiny::elf(little, &calls, Last::PowersOff);
    let check: &[&str] = if little { &["--check"] } else { &["--warn-only"] };
    let said = run(context, &guest, check)?;
    let (status, mark) = if little { (FOUND, "FOUND: ") } else { (0, "warning: ") };
    let mut findings = Vec::new();
    findings.extend(differs("status", &format!("{:?}", Some(status)), &format!("{:?}", said.status)));
    findings.extend(differs("secure", "true", &said.summary["secure"].to_string()));
    // With the power-off.
    findings.extend(differs("made", "6", &said.summary["hypercalls"]["made"].to_string()));
    let wrong = said.summary["hypercalls"]["wrong"].as_array().cloned().unwrap_or_default();
    let short =
        |one: &Value| format!("{} {} {} {}", one["number"], one["what"], one["count"], one["arguments"][0]);
    findings.extend(differs(
        "wrong",
        r#""0x44" "not-in-table" 2 "0x1", "0x13c" "private-memory" 1 "0x7fff0000""#,
        &wrong.iter().map(short).collect::<Vec<_>>().join(", "),
    ));
    let lines = said.output.errors.lines().filter(|line| line.contains(mark)).count();
    findings.extend(differs("lines", "2", &lines.to_string()));
    verdict(said, findings)
}

/// A guest that would go on for ever ends with its first wrong call.
fn live(context: &Context) -> Result<(), Failure> {
    let guest = tiny::elf(true, &[vec![0x58, 0, 0], vec![0x44, 1, 2]], Last::Stays);
    let said = run(context, &guest, &["--live-hcalls"])?;
    let mut findings = Vec::new();
    findings.extend(differs("status", &format!("{:?}", Some(FOUND)), &format!("{:?}", said.status)));
    let call = said.summary["cut_short"].as_str().unwrap_or_default();
    if !call.starts_with("hcall 0x44(0x1, 0x2, ") {
        findings.extend(differs("cut_short", "hcall 0x44(0x1, 0x2, ...", call));
    }
    verdict(said, findings)
}
