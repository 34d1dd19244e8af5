//! Reads the results of the tests in the guest: TAP 13.

use crate::junit::{self, Outcome};

/// Most missing tests that are reported: the number in the plan comes from the guest.
const MOST: usize = 1000;

/// A test's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Passed.
    Ok,
    /// Failed, for this reason.
    NotOk(String),
    /// Skipped, because the machine lacks this.
    Skip(String),
}

/// A test's name and verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestTest {
    /// Its name.
    pub name: String,
    /// Its result.
    pub verdict: Verdict,
}

/// The tests on a console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tap {
    /// The number of planned tests; `None` without a plan.
    pub planned: Option<usize>,
    /// The tests with a result, in order.
    pub tests: Vec<GuestTest>,
}

impl Tap {
    /// Reads a console log, which may have other lines between.
    #[must_use]
    pub fn read(log: &str) -> Self {
        let mut tap = Self::default();
        for line in log.lines().map(str::trim_end) {
            if let Some(count) = line.strip_prefix("1..") {
                tap.planned = tap.planned.or(count.parse().ok());
            } else if let Some(test) = test(line) {
                tap.tests.push(test);
            } else if let Some(message) = message(line)
                && let Some(Verdict::NotOk(reason)) = tap.tests.last_mut().map(|test| &mut test.verdict)
            {
                *reason = message;
            }
        }
        tap
    }

    /// The verdict on the test of this name.
    #[must_use]
    pub fn verdict(&self, name: &str) -> Option<&Verdict> {
        self.tests.iter().find(|test| test.name == name).map(|test| &test.verdict)
    }

    /// The same for lists of results. A planned test without a result has failed.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome> {
        let came = self.tests.iter().map(|test| {
            let verdict = match &test.verdict {
                Verdict::Ok => junit::Verdict::Passed,
                Verdict::NotOk(reason) => junit::Verdict::Failed(reason.clone()),
                Verdict::Skip(why) => junit::Verdict::Skipped(why.clone()),
            };
            Outcome { name: test.name.clone(), seconds: None, verdict }
        });
        let missing = (self.tests.len()..self.planned.unwrap_or(0).min(MOST)).map(|number| Outcome {
            name: format!("no-result/{}", number + 1),
            seconds: None,
            verdict: junit::Verdict::Failed("the run ended before this test".to_owned()),
        });
        came.chain(missing).collect()
    }

    /// Whether every planned test has a result.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.planned == Some(self.tests.len())
    }
}

fn test(line: &str) -> Option<GuestTest> {
    let (ok, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(" - ")?;
    number.parse::<usize>().ok()?;
    let (name, verdict) = match (ok, rest.split_once(" # SKIP ")) {
        (true, Some((name, why))) => (name, Verdict::Skip(why.to_owned())),
        (true, None) => (rest, Verdict::Ok),
        (false, _) => (rest, Verdict::NotOk(String::new())),
    };
    Some(GuestTest { name: name.to_owned(), verdict })
}

fn message(line: &str) -> Option<String> {
    let quoted = line.strip_prefix("  message: \"")?.strip_suffix('"')?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' { characters.next()? } else { character });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{Tap, Verdict};

    #[test]
    fn verdicts_are_found_among_other_lines() {
        let tap = Tap::read(
            "[ 0.1] info\r\nTAP version 13\r\n1..3\r\nok 1 - a/b\r\n[ 0.2] warn: x\r\nnot ok 2 - c/d\r\n  ---\r\n  \
             message: \"is \\\"1\\\" \\\\ 2\"\r\n  ...\r\nok 3 - e/f # SKIP needs a disk\r\nok then\r\n",
        );
        assert!(tap.is_whole());
        assert_eq!(tap.verdict("a/b"), Some(&Verdict::Ok));
        assert_eq!(tap.verdict("c/d"), Some(&Verdict::NotOk("is \"1\" \\ 2".into())));
        assert_eq!(tap.verdict("e/f"), Some(&Verdict::Skip("needs a disk".into())));
        assert_eq!(tap.verdict("x"), None);
    }

    #[test]
    fn a_planned_test_without_a_result_has_failed() {
        let outcomes = Tap::read("1..3\nok 1 - a/b\nok 2 - c/d # SKIP needs a disk\n").outcomes();
        let verdicts: Vec<_> = outcomes.iter().map(|one| (&*one.name, one.verdict.parts())).collect();
        assert_eq!(
            verdicts,
            [
                ("a/b", ("passed", "")),
                ("c/d", ("skipped", "needs a disk")),
                ("no-result/3", ("failed", "the run ended before this test")),
            ]
        );
    }

    #[test]
    fn a_run_without_all_planned_results_is_not_whole() {
        assert!(!Tap::read("1..2\nok 1 - a/b\n").is_whole());
        assert!(!Tap::read("").is_whole());
    }
}
