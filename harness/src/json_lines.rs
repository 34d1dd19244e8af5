//! Facts and tests as JSON lines: an object on each line.

use crate::guest::report::Report;
use crate::junit::Outcome;
use serde_json::json;
use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Mutex;

/// Name of the file, in the folder of results, with the facts of each guest.
pub const FACTS: &str = "facts.jsonl";

/// The file for the facts of the boot tests' guests, after [`keep`].
static KEPT: Mutex<Option<File>> = Mutex::new(None);

thread_local! {
    /// The boot test that this thread runs, and how many of its guests have ended.
    static TEST: Cell<(Option<String>, u32)> = const { Cell::new((None, 0)) };
}

/// A line for each fact of a guest. `of` names the boot test and the guest, counted from 0.
fn facts(report: &Report, of: Option<(&str, u32)>) -> String {
    let mut text = String::new();
    for (key, value) in report.facts() {
        let line = match of {
            Some((test, guest)) => json!({ "test": test, "guest": guest, "key": key, "value": value }),
            None => json!({ "key": key, "value": value }),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// A line for each test.
#[must_use]
pub fn tests(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { name, seconds, verdict } in outcomes {
        let (word, reason) = verdict.parts();
        let mut line = json!({ "name": name, "verdict": word });
        if let Some(seconds) = seconds {
            line["seconds"] = json!((f64::from(*seconds) * 10.0).round() / 10.0);
        }
        if !reason.is_empty() {
            line["reason"] = json!(reason);
        }
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Writes the facts of one guest.
///
/// # Errors
/// The file could not be written.
pub fn write_facts(path: &Path, report: &Report) -> io::Result<()> {
    std::fs::write(path, facts(report, None))
}

/// From now on the facts of each guest that ends are added to a new file.
///
/// # Errors
/// The file could not be made.
pub fn keep(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    *KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(file);
    Ok(())
}

/// From now on this thread runs the boot test of this name.
pub fn begin(test: &str) {
    TEST.set((Some(test.to_owned()), 0));
}

/// A guest has ended: adds its facts to the file, if there is one.
pub fn ended(report: &Report) {
    let (test, guest) = TEST.take();
    TEST.set((test.clone(), guest + 1));
    let mut kept = KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(file) = kept.as_mut() {
        let text = facts(report, Some((test.as_deref().unwrap_or_default(), guest)));
        // A full disk is reported when the tests' results are written.
        let _ = file.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::junit::Verdict;
    use serde_json::Value;

    fn lines(text: &str) -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_fact_is_an_object_on_a_line() {
        let report = Report::parse("postern: blk0.id=a \"b\" \\\npostern: mode=normal\n");
        let all = lines(&facts(&report, None));
        assert_eq!(
            all,
            [json!({ "key": "blk0.id", "value": "a \"b\" \\" }), json!({ "key": "mode", "value": "normal" })]
        );
        let of = lines(&facts(&report, Some(("vof/x", 1))));
        assert_eq!(of[1], json!({ "test": "vof/x", "guest": 1, "key": "mode", "value": "normal" }));
    }

    #[test]
    fn each_test_is_an_object_with_its_reason() {
        let outcomes = [
            Outcome { name: "blk/read".into(), seconds: Some(1.25), verdict: Verdict::Passed },
            Outcome {
                name: "blk/id".into(),
                seconds: None,
                verdict: Verdict::Skipped("needs a disk".into()),
            },
        ];
        assert_eq!(
            lines(&tests(&outcomes)),
            [
                json!({ "name": "blk/read", "verdict": "passed", "seconds": 1.3 }),
                json!({ "name": "blk/id", "verdict": "skipped", "reason": "needs a disk" }),
            ]
        );
    }
}
