//! Unmodified Linux as a secure VM under `postern-ultravisor`, where its kernel is: `make linux` builds it.

use crate::finding::Finding;
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::runner::Test;
use std::path::Path;
use std::process::Command;

/// What `make linux` leaves, and what boots it.
const KERNEL: &str = "build/linux/vmlinux";
const SCRIPT: &str = "scripts/linux.sh";
/// Exit status of `postern-ultravisor run --check` that found something.
const FOUND: i32 = 3;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        // Linux's own words about disks, a file system, UDP and TCP are compared by the script with the host's.
        test("job", "svm=on swiotlb=force", 0, &["linux: svm=1", "every device access was shared"]),
        // mem_init() asks for swiotlb before init_svm() wants it: with memory below 4 GiB alone there is none.
        test(
            "no-swiotlb",
            "svm=on",
            FOUND,
            &["linux: svm=1", "device accesses were to memory that was not shared"],
        ),
        test("not-asked", "svm=off", FOUND, &["linux: svm=0", "the kernel made no UV_ESM"]),
    ]
}

/// A boot with these words for Linux has to end with this status and to say all of this. Without a kernel it is skipped.
fn test(name: &str, append: &'static str, status: i32, said: &'static [&'static str]) -> Test {
    Test::new(format!("linux/{name}"), move |context: &Context| {
        if !Path::new(KERNEL).exists() {
            let why = format!("no {KERNEL}; `make linux` builds it, in about ten minutes");
            return Err(Finding::Skipped(why).into());
        }
        let run = Command::new(SCRIPT).env("APPEND", append).env("QEMU", &context.qemu).output();
        let run = run.map_err(|error| Finding::File(SCRIPT.into(), error))?;
        let output = String::from_utf8_lossy(&run.stdout);
        let mut findings = Vec::new();
        if run.status.code() != Some(status) {
            let found = run.status.code().map(|code| code.to_string());
            findings.push(Finding::Fact { key: "status", expected: status.to_string(), found });
        }
        let unsaid = said.iter().filter(|words| !output.contains(**words));
        findings.extend(unsaid.map(|words| Finding::Fact {
            key: "said",
            expected: (*words).to_owned(),
            found: None,
        }));
        if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: None }) }
    })
}
