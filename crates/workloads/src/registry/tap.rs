//! Output lines of the tests: Test Anything Protocol, version 13.

use super::{Entry, Requirement};
use core::fmt::{self, Write};

/// The first line.
pub const VERSION: &str = "TAP version 13";

/// The second line: the number of tests.
#[derive(Clone, Copy, Debug)]
pub struct Plan(pub usize);

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1..{}", self.0)
    }
}

/// The result of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<R> {
    /// The test is ok.
    Ok,
    /// The test is not ok, for this reason.
    NotOk(R),
    /// The machine lacks this.
    Skip(Requirement),
}

/// The verdict's line. The reason of a test that is not ok is in the lines of a [`Reason`] after it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a, R> {
    /// Its number, from 1.
    pub number: usize,
    /// The test.
    pub entry: &'a Entry,
    /// Its result.
    pub verdict: &'a Verdict<R>,
}

impl<R> fmt::Display for Line<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, entry, verdict } = self;
        let ok = if matches!(verdict, Verdict::NotOk(_)) { "not ok" } else { "ok" };
        write!(f, "{ok} {number} - {}", entry.name)?;
        match verdict {
            Verdict::Skip(requirement) => write!(f, " # SKIP needs {requirement}"),
            _ => Ok(()),
        }
    }
}

/// The lines, in this order, of a block of YAML after a test that is not ok. The second holds the message.
pub const BLOCK: [&str; 2] = ["  ---", "  ..."];

/// The message of a block.
#[derive(Clone, Copy, Debug)]
pub struct Reason<R>(pub R);

impl<R: fmt::Display> fmt::Display for Reason<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  message: \"")?;
        write!(Quoted(f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// Text between the quotes of YAML.
struct Quoted<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Quoted<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if matches!(character, '"' | '\\') {
                self.0.write_char('\\')?;
            }
            self.0.write_char(if character.is_control() { ' ' } else { character })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Requirement, TESTS};
    use super::{Line, Plan, Reason, Verdict};
    use std::format;
    use std::string::ToString;

    #[test]
    fn each_verdict_is_one_line_of_tap() {
        let [entry, ..] = &TESTS;
        let line = |verdict: Verdict<&str>| Line { number: 3, entry, verdict: &verdict }.to_string();
        assert_eq!(line(Verdict::Ok), "ok 3 - console/terminal");
        assert_eq!(line(Verdict::NotOk("x")), "not ok 3 - console/terminal");
        assert_eq!(line(Verdict::Skip(Requirement::Disk)), "ok 3 - console/terminal # SKIP needs a disk");
        assert_eq!(Plan(7).to_string(), "1..7");
    }

    #[test]
    fn a_reason_stays_between_its_quotes() {
        let reason = format!("{}", Reason("a \"b\" \\ c\nok 1 - x"));
        assert_eq!(reason, "  message: \"a \\\"b\\\" \\\\ c ok 1 - x\"");
    }
}
