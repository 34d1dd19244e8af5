//! A whole run, recorded and replayed by QEMU: the console shows the same text, including its times, and the disks have
//! the same content.

use crate::disk;
use crate::finding::{Finding, digest};
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, seed};
use crate::matrix::results;
use crate::matrix::runner::Test;
use crate::matrix::through_time::major_and_minor;
use crate::pattern;
use crate::qemu::process::{Ended, Output, Qemu};
use crate::session::{SessionError, last_line};
use crate::variable::Firmware;
use std::fs::File;
use std::time::Duration;

/// Bytes of each disk.
const BYTES: u64 = 1 << 20;
/// Time limit of a recording or a replay.
const LIMIT: Duration = Duration::from_secs(300);
/// The oldest QEMU under which each replay with a network card was seen to end: under 7.2 two of twelve hung.
const WITH_CARD: (u32, u32) = (10, 0);

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |(name, shift, card)| {
        Test::new(format!("through-time/record-replay/{name}"), move |context| {
            played_again(context, shift, card)
        })
    };
    [("disks", "auto", false), ("disks/counted", "0", false), ("disks-and-card", "auto", true)]
        .map(test)
        .into()
}

fn played_again(context: &Context, shift: &str, card: bool) -> Result<(), Failure> {
    let version = results::version(&context.qemu)?;
    if card && major_and_minor(&version) < WITH_CARD {
        return Err(
            Finding::Skipped(format!("QEMU {version}: two of twelve replays with a card hung")).into()
        );
    }
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    let seed = seed();
    let data = fixture.dir.path("data");
    disk::make(&data, BYTES, seed).map_err(|error| Finding::File(data.clone(), error))?;
    let scratch = fixture.dir.path("scratch");
    let mut options = recorded_disk("data", &data.display().to_string(), true);
    options.extend(recorded_disk("scratch", &scratch.display().to_string(), false));
    if card {
        let card = "-netdev user,id=net0 -device virtio-net-pci,netdev=net0,disable-legacy=on,romfile= \
                    -object filter-replay,id=replay,netdev=net0";
        options.extend(card.split_whitespace().map(str::to_owned));
    }
    fixture.machine.extra.extend(options);
    fixture.word(&format!("run={}blk-digest,blk-pattern seed={seed}", if card { "demo," } else { "" }));
    let recording = fixture.dir.path("recording").display().to_string();
    let run = |mode: &str| -> Result<Output, Failure> {
        disk::make_empty(&scratch, BYTES).map_err(|error| Finding::File(scratch.clone(), error))?;
        let mut machine = fixture.machine.clone();
        machine.extra.extend(["-icount".to_owned(), format!("shift={shift},rr={mode},rrfile={recording}")]);
        let qemu = Qemu::start(&machine, None).map_err(|error| Finding::Start(SessionError::Qemu(error)))?;
        let (found, output) = qemu.wait(LIMIT);
        let mut findings = Vec::new();
        let expected = Ended::Exited(0);
        if found != expected {
            findings.push(Finding::Ended { expected, found, errors: last_line(&output.errors) });
        }
        match File::open(&scratch) {
            Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
            Err(error) => findings.push(Finding::File(scratch.clone(), error)),
        }
        if findings.is_empty() {
            return Ok(output);
        }
        findings.insert(0, Finding::Configuration(format!("rr={mode}")));
        Err(Failure { findings, output: Some(output) })
    };
    let first = run("record")?;
    let second = run("replay")?;
    let read = format!("postern: blk0.sha256={}", digest(&data)?);
    let mut findings = Vec::new();
    if !first.console.lines().any(|line| line.trim_end() == read) {
        findings.push(Finding::NeverSaid("postern: blk0.sha256= of the image"));
    }
    findings.extend(difference(&first.console, &second.console));
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(second) }) }
}

/// A disk whose answers QEMU records.
fn recorded_disk(name: &str, path: &str, read_only: bool) -> Vec<String> {
    let read_only = if read_only { "on" } else { "off" };
    let path = path.replace(',', ",,");
    [
        "-blockdev".to_owned(),
        format!("driver=file,node-name={name}-file,read-only={read_only},filename={path}"),
        "-blockdev".to_owned(),
        format!("driver=raw,node-name={name}-raw,read-only={read_only},file={name}-file"),
        "-blockdev".to_owned(),
        format!("driver=blkreplay,node-name={name},read-only={read_only},image={name}-raw"),
        "-device".to_owned(),
        format!("virtio-blk-pci,drive={name},serial={name},disable-legacy=on,iommu_platform=on"),
    ]
    .to_vec()
}

/// The first line that differs.
fn difference(first: &str, second: &str) -> Option<Finding> {
    if first == second {
        return None;
    }
    let (mut one, mut other) = (first.lines(), second.lines());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Some(Finding::NeverSaid("the same bytes between lines")),
            (expected, found) if expected != found => {
                let owned = |line: Option<&str>| line.map(str::to_owned);
                return Some(Finding::OtherWords { expected: owned(expected), found: owned(found) });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_word_is_found() {
        assert!(difference("a\nb 1\n", "a\nb 1\n").is_none());
        let found = difference("a\nb 1\n", "a\nb 2\n").expect("a difference").to_string();
        assert_eq!(found, "one run has `b 1`, the other `b 2`");
        assert!(difference("a\n", "a\nb\n").is_some());
        assert!(difference("a\r\n", "a\n").is_some());
    }
}
