//! What became of the boot tests, for other programs: `boot.tsv`, a line for each test, and `boot.xml`, as JUnit has it.

use crate::finding::Finding;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A boot test that was run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// How long it took.
    pub seconds: f32,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a boot test; reasons are on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It could not be run on this machine.
    Skipped(String),
    /// It failed.
    Failed(String),
}

impl Verdict {
    /// Its word in `boot.tsv`, and the reason.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Passed => ("passed", ""),
            Self::Skipped(reason) => ("skipped", reason),
            Self::Failed(reason) => ("failed", reason),
        }
    }
}

/// Begins the line of a `boot.tsv` that names its QEMU.
pub const QEMU: &str = "# QEMU ";

/// The version of QEMU, as `--version` has it: `7.2.22`.
///
/// # Errors
/// It cannot be started, or says nothing of the kind.
pub fn version(qemu: &Path) -> Result<String, Finding> {
    let said =
        Command::new(qemu).arg("--version").output().map_err(|error| Finding::File(qemu.into(), error))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.strip_prefix("QEMU emulator version ").and_then(|rest| rest.split_whitespace().next());
    let none = || Finding::File(qemu.into(), std::io::Error::other("its --version is none of QEMU's"));
    version.map(str::to_owned).ok_or_else(none)
}

/// Leaves both files in the folder.
///
/// # Errors
/// A file could not be written.
pub fn write(dir: &Path, qemu: &str, outcomes: &[Outcome]) -> Result<(), Finding> {
    let file = |path: PathBuf| move |error| Finding::File(path, error);
    std::fs::create_dir_all(dir).map_err(file(dir.into()))?;
    for (name, text) in [("boot.tsv", table(qemu, outcomes)), ("boot.xml", junit(qemu, outcomes))] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(file(path))?;
    }
    Ok(())
}

fn table(qemu: &str, outcomes: &[Outcome]) -> String {
    let mut text = format!("{QEMU}{qemu}\n");
    for Outcome { name, seconds, verdict } in outcomes {
        let (word, reason) = verdict.parts();
        let reason = reason.replace(char::is_control, " ");
        text += &format!("{word}\t{name}\t{seconds:.1}\t{reason}\n");
    }
    text
}

fn junit(qemu: &str, outcomes: &[Outcome]) -> String {
    let count = |word| outcomes.iter().filter(|outcome| outcome.verdict.parts().0 == word).count();
    let (failures, skipped) = (count("failed"), count("skipped"));
    let time: f32 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"boot\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\" time=\"{time:.1}\">\n\
         <properties><property name=\"qemu\" value=\"{}\"/></properties>\n",
        outcomes.len(),
        escaped(qemu)
    );
    for Outcome { name, seconds, verdict } in outcomes {
        let group = name.split('/').next().unwrap_or_default();
        let case = format!(
            "<testcase classname=\"boot.{}\" name=\"{}\" time=\"{seconds:.1}\"",
            escaped(group),
            escaped(name)
        );
        let child = |tag, reason| format!("{case}><{tag} message=\"{}\"/></testcase>\n", escaped(reason));
        text += &match verdict {
            Verdict::Passed => format!("{case}/>\n"),
            Verdict::Skipped(reason) => child("skipped", reason),
            Verdict::Failed(reason) => child("failure", reason),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

/// Text as an attribute of XML holds it; control characters, which XML has not, as blanks.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> [Outcome; 3] {
        [
            Outcome { name: "vof/normal/ap-off".into(), seconds: 1.25, verdict: Verdict::Passed },
            Outcome {
                name: "violation/blk/x".into(),
                seconds: 2.0,
                verdict: Verdict::Failed("r3 < \"4\" & \x1b[2J\nmore".into()),
            },
            Outcome { name: "x/y".into(), seconds: 0.0, verdict: Verdict::Skipped("no such QEMU".into()) },
        ]
    }

    #[test]
    fn each_test_is_one_line_whatever_its_failure_says() {
        let text = table("10.0.13", &outcomes());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "# QEMU 10.0.13");
        assert_eq!(lines[1], "passed\tvof/normal/ap-off\t1.2\t");
        assert_eq!(lines[2], "failed\tviolation/blk/x\t2.0\tr3 < \"4\" &  [2J more");
        assert_eq!(lines[3], "skipped\tx/y\t0.0\tno such QEMU");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn junit_counts_and_escapes() {
        let text = junit("10.0.13", &outcomes());
        assert!(
            text.contains("<testsuite name=\"boot\" tests=\"3\" failures=\"1\" skipped=\"1\" time=\"3.2\">"),
            "{text}"
        );
        assert!(text.contains("<testcase classname=\"boot.vof\" name=\"vof/normal/ap-off\" time=\"1.2\"/>"));
        assert!(text.contains("message=\"r3 &lt; &quot;4&quot; &amp;  [2J more\""), "{text}");
        assert!(text.contains("<skipped message=\"no such QEMU\"/>"), "{text}");
        assert!(text.bytes().all(|byte| byte == b'\n' || byte >= b' '));
    }

    #[test]
    fn a_program_that_states_no_version_is_named() {
        assert!(version(Path::new("/bin/true")).unwrap_err().to_string().contains("/bin/true"));
        assert!(version(Path::new("/nowhere/qemu")).unwrap_err().to_string().contains("/nowhere/qemu"));
    }
}
