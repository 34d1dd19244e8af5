//! Writes the boot tests' results for other programs: `boot.tsv` with a line for each test, `boot.xml` in JUnit's format,
//! and `boot.jsonl` with a JSON object for each test.

use crate::finding::Finding;
use crate::json_lines;
use crate::junit::{Outcome, suite};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Start of the line of `boot.tsv` with QEMU's version.
pub const QEMU: &str = "# QEMU ";

/// The version of QEMU, as `--version` has it: `7.2.22`.
///
/// # Errors
/// It cannot be started, or prints no version.
pub fn version(qemu: &Path) -> Result<String, Finding> {
    let said =
        Command::new(qemu).arg("--version").output().map_err(|error| Finding::File(qemu.into(), error))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.strip_prefix("QEMU emulator version ").and_then(|rest| rest.split_whitespace().next());
    let none = || Finding::File(qemu.into(), std::io::Error::other("its --version is none of QEMU's"));
    version.map(str::to_owned).ok_or_else(none)
}

/// Writes the files without tests into the folder, and from now on keeps the facts of each guest that ends.
///
/// # Errors
/// A file could not be written.
pub fn begin(dir: &Path, qemu: &str) -> Result<(), Finding> {
    write(dir, qemu, &[])?;
    let facts = dir.join(json_lines::FACTS);
    json_lines::keep(&facts).map_err(|error| Finding::File(facts, error))
}

/// Writes the files into the folder.
///
/// # Errors
/// A file could not be written.
pub fn write(dir: &Path, qemu: &str, outcomes: &[Outcome]) -> Result<(), Finding> {
    let file = |path: PathBuf| move |error| Finding::File(path, error);
    std::fs::create_dir_all(dir).map_err(file(dir.into()))?;
    let files = [
        ("boot.tsv", table(qemu, outcomes)),
        ("boot.xml", suite("boot", &[("qemu", qemu)], outcomes)),
        ("boot.jsonl", json_lines::tests(outcomes)),
    ];
    for (name, text) in files {
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
        let seconds = seconds.unwrap_or_default();
        text += &format!("{word}\t{name}\t{seconds:.1}\t{reason}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::junit::Verdict;

    fn outcomes() -> [Outcome; 3] {
        [
            Outcome { name: "vof/normal/ap-off".into(), seconds: Some(1.25), verdict: Verdict::Passed },
            Outcome {
                name: "violation/blk/x".into(),
                seconds: Some(2.0),
                verdict: Verdict::Failed("r3 < \"4\" & \x1b[2J\nmore".into()),
            },
            Outcome {
                name: "x/y".into(),
                seconds: Some(0.0),
                verdict: Verdict::Skipped("no such QEMU".into()),
            },
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
    fn a_program_that_states_no_version_is_named() {
        assert!(version(Path::new("/bin/true")).unwrap_err().to_string().contains("/bin/true"));
        assert!(version(Path::new("/nowhere/qemu")).unwrap_err().to_string().contains("/nowhere/qemu"));
    }
}
