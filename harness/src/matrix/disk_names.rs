//! The host chooses a disk's name. The name does not prevent the reading of a disk that the command line asks for, unless
//! the command line also overwrites disks of that name; then the guest says so.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;

const BYTES: u64 = 256 << 10;
/// Exit status: a device is missing or failed.
const MISSING: u8 = 6;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("disk-names/scratch/read", read),
        Test::new("disk-names/scratch/left", left),
        Test::new("disk-names/scratch/only", only),
    ]
}

fn fixture(context: &Context, words: &str) -> Result<Fixture, Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    fixture.word(words);
    Ok(fixture)
}

/// A disk of data that the host calls `scratch`.
fn renamed(fixture: &mut Fixture) -> Result<String, Failure> {
    let path = fixture.data_disk(BYTES)?;
    if let Some(disk) = fixture.machine.disks.last_mut() {
        disk.serial = "scratch".to_owned();
    }
    Ok(digest(&path)?)
}

fn read(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context, "run=blk-digest")?;
    let expected = renamed(&mut fixture)?;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    verdict(finished, findings)
}

/// One disk is called `scratch`: the other one is read.
fn left(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context, "run=blk-digest,blk-pattern")?;
    let expected = digest(&fixture.data_disk(BYTES)?)?;
    fixture.scratch_disk(BYTES)?;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    findings.extend(judge::fact(&finished, "blk1.left_to", "blk-pattern"));
    says(&mut findings, &finished.output.console, "blk1: named scratch, left to blk-pattern");
    verdict(finished, findings)
}

/// The only data disk is called `scratch`: it is not read, and the status says so.
fn only(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context, "run=blk-digest,blk-pattern")?;
    renamed(&mut fixture)?;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, MISSING);
    findings.extend(judge::fact(&finished, "blk0.left_to", "blk-pattern"));
    says(&mut findings, &finished.output.console, "there is no data disk");
    verdict(finished, findings)
}

fn says(findings: &mut Vec<Finding>, console: &str, text: &'static str) {
    if !console.contains(text) {
        findings.push(Finding::NeverSaid(text));
    }
}
