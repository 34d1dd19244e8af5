//! Tests of the runner's results for other programs (`RESULTS=`), and of the variables that choose, repeat and limit boot
//! tests.

use crate::finding::Finding;
use crate::guest::report::Report;
use crate::guest::tap::Tap;
use crate::json_lines::FACTS;
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::test::Test;
use postern_ultravisor::workdir::Workdir;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![Test::new("results/run", of_run), Test::new("results/test", of_test)]
}

/// Runs this program with these words; returns its output and its exit status.
fn called(context: &Context, words: &[String]) -> Result<(String, Option<i32>), Failure> {
    let me = std::env::current_exe().map_err(|error| Finding::File("postern-harness".into(), error))?;
    let output = Command::new(&me)
        .args(words)
        .arg(format!("QEMU={}", context.qemu.display()))
        .arg(format!("ROM={}", context.rom.display()))
        .output()
        .map_err(|error| Finding::File(me, error))?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((said, output.status.code()))
}

fn read(path: &Path) -> Result<String, Failure> {
    Ok(std::fs::read_to_string(path).map_err(|error| Finding::File(path.to_path_buf(), error))?)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
}

fn judged(wrong: Vec<String>, what: &Path) -> Result<(), Failure> {
    if wrong.is_empty() { Ok(()) } else { Err(Finding::Bill(what.to_path_buf(), wrong).into()) }
}

/// The files of a run agree with its console.
fn of_run(context: &Context) -> Result<(), Failure> {
    let dir = Workdir::new().map_err(|error| Finding::File(std::env::temp_dir(), error))?;
    let results = dir.path("results");
    let words = [
        "run".to_owned(),
        "FIRMWARE=vof".to_owned(),
        "SVM=off".to_owned(),
        format!("RESULTS={}", results.display()),
        format!("KERNEL={}", context.test_image.display()),
        "APPEND=test=clock/*,blk/read,blk/write".to_owned(),
    ];
    let (said, status) = called(context, &words)?;
    let mut wrong = Vec::new();
    if status != Some(0) {
        wrong.push(format!("exit status {status:?}"));
    }
    let console = read(&results.join("console.log"))?;
    if !console.lines().all(|line| said.contains(line.trim_end())) {
        wrong.push("the console is not what was shown".to_owned());
    }
    let facts: BTreeMap<String, String> = lines(&read(&results.join(FACTS))?)
        .iter()
        .map(|line| [&line["key"], &line["value"]].map(|text| text.as_str().unwrap_or_default().to_owned()))
        .map(|[key, value]| (key, value))
        .collect();
    let report = Report::parse(&console);
    if !report.facts().eq(facts.iter().map(|(key, value)| (key.as_str(), value.as_str()))) || facts.len() < 30
    {
        wrong.push(format!("{} facts, not those of the console", facts.len()));
    }
    let tests = lines(&read(&results.join("tests.jsonl"))?);
    let verdict = |name: &str| tests.iter().find(|test| test["name"] == name).map(|test| &test["verdict"]);
    // No disk is named scratch.
    for (name, expected) in [("clock/timebase", "passed"), ("blk/read", "passed"), ("blk/write", "skipped")] {
        if verdict(name).is_none_or(|verdict| verdict != expected) {
            wrong.push(format!("{name}: {:?}, expected {expected}", verdict(name)));
        }
    }
    if tests.len() != Tap::read(&console).tests.len() {
        wrong.push(format!("{} tests, not those of the console", tests.len()));
    }
    let junit = read(&results.join("tests.xml"))?;
    if !junit.contains(&format!("tests=\"{}\" failures=\"0\" skipped=\"1\"", tests.len())) {
        wrong.push("JUnit's counts".to_owned());
    }
    judged(wrong, &results)
}

/// A repeated test runs that often, an excluded one does not run, and a guest is ended at the limit with a message.
fn of_test(context: &Context) -> Result<(), Failure> {
    let dir = Workdir::new().map_err(|error| Finding::File(std::env::temp_dir(), error))?;
    let results = dir.path("results");
    let words = [
        "test".to_owned(),
        // SLOF alone takes longer than the limit.
        "=measured/slof/elsewhere".to_owned(),
        "=measured/vof".to_owned(),
        "EXCLUDE==measured/vof".to_owned(),
        "REPEAT=2".to_owned(),
        "LIMIT=1".to_owned(),
        format!("RESULTS={}", results.display()),
        format!("KERNEL={}", context.kernel.display()),
    ];
    let (_, status) = called(context, &words)?;
    let mut wrong = Vec::new();
    if status != Some(1) {
        wrong.push(format!("exit status {status:?}"));
    }
    let tests = lines(&read(&results.join("boot.jsonl"))?);
    if tests.len() != 2 {
        wrong.push(format!("{} tests", tests.len()));
    }
    for test in &tests {
        let reason = test["reason"].as_str().unwrap_or_default();
        if test["name"] != "measured/slof/elsewhere"
            || test["verdict"] != "failed"
            || !reason.contains("no end after 1 s")
        {
            wrong.push(test.to_string());
        }
    }
    judged(wrong, &results)
}
