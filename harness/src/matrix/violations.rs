//! Devices that violate the protocol, each violation a row of the case list: the guest names the violation and ends as
//! documented, and its other device goes on working.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::refusing::{self, Served, Violations, refusals};
use crate::matrix::runner::Test;
use crate::peer::cable_peer::CablePeer;
use crate::servers::Account;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_adversary::violation::ProtocolViolation;
use postern_cases::{Observation, case};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

const DATA_BYTES: u64 = (1 << 20) + 512;
/// Longer than a card's driver waits for its card.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Exit status: a device is missing, refused or broken.
const DEVICE: u8 = 6;
/// Most ranges that the driver puts into a request, whatever the device allows.
const MOST_RANGES: u64 = 32;
/// Exit status: data that was read back differs from the written data.
const WRONG: u8 = 7;
/// Violations that occur only with the test image's `blk-discard`.
const RANGES: [ProtocolViolation; 4] = [
    ProtocolViolation::Blk17Empty,
    ProtocolViolation::Blk17Huge,
    ProtocolViolation::Blk19,
    ProtocolViolation::Blk20,
];

/// Which device violates the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Violator {
    Disk,
    Scratch,
    Card,
}

impl Violator {
    const fn device(self) -> &'static str {
        match self {
            Self::Disk | Self::Scratch => "blk",
            Self::Card => "net",
        }
    }
}

/// The permitted result of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The device is given up or never used: status 6, and the log has one of these texts.
    Given(&'static str),
    /// Wrong data is found: status 7, and the log has these words.
    Wrong(&'static str),
    /// The violation has no effect: status 0, and the device works.
    Works,
    /// The device works, and bytes that it did not write read as zeros.
    Blank,
    /// The device works; it may change the data, which is not compared.
    Changed,
    /// A race: if the guest reads a word before it changes, the device works; if after, the device is given up with one of
    /// these texts. There is no third result.
    Race(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    violation: ProtocolViolation,
    row: Observation,
    violator: Violator,
    outcome: Outcome,
}

const fn disk(violation: ProtocolViolation, row: Observation, outcome: Outcome) -> Case {
    Case { violation, row, violator: Violator::Disk, outcome }
}

const fn scratch(violation: ProtocolViolation, row: Observation, outcome: Outcome) -> Case {
    Case { violation, row, violator: Violator::Scratch, outcome }
}

const fn card(violation: ProtocolViolation, row: Observation, outcome: Outcome) -> Case {
    Case { violation, row, violator: Violator::Card, outcome }
}

const CASES: [Case; 55] = [
    disk(ProtocolViolation::Rng01, case!("RNG-01", Break, Q), Outcome::Given("used id")),
    disk(ProtocolViolation::Rng02, case!("RNG-02", Break, Q), Outcome::Given("used id")),
    disk(ProtocolViolation::Rng03, case!("RNG-03", Break, Q), Outcome::Given("was not posted")),
    disk(ProtocolViolation::Rng04, case!("RNG-04", Break, Q), Outcome::Given("not the head")),
    disk(ProtocolViolation::Rng05, case!("RNG-05", Break, Q), Outcome::Given("used i")),
    disk(ProtocolViolation::Rng07, case!("RNG-07", Break, Q), Outcome::Given("were allowed")),
    disk(ProtocolViolation::Rng08, case!("RNG-08", Break, Q), Outcome::Given("were needed")),
    disk(ProtocolViolation::Rng11Back, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    disk(ProtocolViolation::Rng11Ahead, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    disk(ProtocolViolation::Rng12, case!("RNG-12", Ignore, Q), Outcome::Race("used id")),
    disk(ProtocolViolation::Rng13, case!("RNG-13", Ignore, Q), Outcome::Works),
    disk(ProtocolViolation::Rng15, case!("RNG-15", Work, Q), Outcome::Works),
    disk(ProtocolViolation::Rng17, case!("RNG-17", Work, Q), Outcome::Works),
    disk(ProtocolViolation::Rng19, case!("RNG-19", Break, Q), Outcome::Given("no answer in time")),
    disk(ProtocolViolation::Rng20, case!("RNG-20", Quarantine, Q), Outcome::Given("no answer in time")),
    disk(ProtocolViolation::Neg05, case!("NEG-05", Clamp, Q), Outcome::Works),
    disk(ProtocolViolation::Blk01, case!("BLK-01", Fail, Q), Outcome::Given("undefined status")),
    disk(ProtocolViolation::Blk03, case!("BLK-03", Ignore, Q), Outcome::Race("I/O error")),
    disk(ProtocolViolation::Blk05Empty, case!("BLK-05", Fail, Q), Outcome::Given("holds no bytes")),
    disk(ProtocolViolation::Blk05Huge, case!("BLK-05", Refuse, Q), Outcome::Given("capacity")),
    disk(ProtocolViolation::Blk08, case!("BLK-08", Refuse, Q), Outcome::Given("size_max")),
    scratch(ProtocolViolation::Blk09, case!("BLK-09", Fail, Q), Outcome::Given("I/O error")),
    scratch(ProtocolViolation::Rng09, case!("RNG-09", Ignore, Q), Outcome::Works),
    disk(ProtocolViolation::Blk10, case!("BLK-10", Ignore, Q), Outcome::Blank),
    disk(ProtocolViolation::Blk11, case!("BLK-11", Ignore, Q), Outcome::Changed),
    disk(ProtocolViolation::Blk12, case!("BLK-12", Clamp, Q), Outcome::Works),
    scratch(
        ProtocolViolation::Blk17Empty,
        case!("BLK-17", Ignore, Q),
        Outcome::Given("a request of 0 sectors, blocks of 512 bytes"),
    ),
    scratch(ProtocolViolation::Blk17Huge, case!("BLK-17", Clamp, Q), Outcome::Works),
    scratch(
        ProtocolViolation::Blk19,
        case!("BLK-19", Fail, Q),
        Outcome::Wrong("does not read back as written"),
    ),
    scratch(
        ProtocolViolation::Blk20,
        case!("BLK-20", Fail, Q),
        Outcome::Given("request not supported by the device"),
    ),
    disk(ProtocolViolation::Blk21, case!("BLK-21", Ignore, Q), Outcome::Works),
    disk(ProtocolViolation::Irq02, case!("IRQ-02", Fallback, Q), Outcome::Works),
    disk(ProtocolViolation::Irq04, case!("IRQ-04", Work, Q), Outcome::Works),
    card(ProtocolViolation::Rng01, case!("RNG-01", Break, Q), Outcome::Given("used id")),
    card(ProtocolViolation::Rng02, case!("RNG-02", Break, Q), Outcome::Given("used id")),
    card(ProtocolViolation::Rng03, case!("RNG-03", Break, Q), Outcome::Given("was not posted")),
    card(ProtocolViolation::Rng05, case!("RNG-05", Break, Q), Outcome::Given("used i")),
    card(ProtocolViolation::Rng11Back, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    card(ProtocolViolation::Rng11Ahead, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    card(ProtocolViolation::Rng12, case!("RNG-12", Ignore, Q), Outcome::Race("used id")),
    card(ProtocolViolation::Rng13, case!("RNG-13", Ignore, Q), Outcome::Works),
    card(ProtocolViolation::Rng15, case!("RNG-15", Work, Q), Outcome::Works),
    card(ProtocolViolation::Neg05, case!("NEG-05", Clamp, Q), Outcome::Works),
    card(ProtocolViolation::Neg07, case!("NEG-07", Ignore, Q), Outcome::Changed),
    card(ProtocolViolation::Net01, case!("NET-01", Drop, Q), Outcome::Works),
    card(ProtocolViolation::Net02, case!("NET-02", Drop, Q), Outcome::Works),
    card(ProtocolViolation::Net03, case!("NET-03", Break, Q), Outcome::Given("were allowed")),
    card(ProtocolViolation::Net05, case!("NET-05", Ignore, Q), Outcome::Works),
    card(ProtocolViolation::Net06, case!("NET-06", Ignore, Q), Outcome::Works),
    card(ProtocolViolation::Net07, case!("NET-07", Ignore, Q), Outcome::Works),
    card(ProtocolViolation::Net12, case!("NET-12", Break, Q), Outcome::Given("nothing taken")),
    card(ProtocolViolation::Net13, case!("NET-13", Work, Q), Outcome::Works),
    card(ProtocolViolation::Net14, case!("NET-14", Ignore, Q), Outcome::Changed),
    card(ProtocolViolation::Irq02, case!("IRQ-02", Fallback, Q), Outcome::Works),
    card(ProtocolViolation::Irq04, case!("IRQ-04", Work, Q), Outcome::Works),
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |case: &'static Case| {
        let name =
            format!("violation/{}/{}{}", case.violator.device(), case.row.case.id, case.violation.suffix());
        Test::new(name, move |context| run(context, *case))
    };
    CASES.iter().map(test).collect()
}

fn run(context: &Context, case: Case) -> Result<(), Failure> {
    let ranges = RANGES.contains(&case.violation);
    let image = if ranges { context.on_test_image() } else { context.clone() };
    let mut fixture = Fixture::new(&image, GuestConfig::new(Firmware::Bios, true, false))?;
    let seed = seed();
    // The violator is the first disk; the second one is honest.
    let image = fixture.data_disk(DATA_BYTES)?;
    let other = fixture.scratch_disk(DATA_BYTES)?;
    let expected = digest(&image)?;
    // A broken card ends the serving; a broken disk must not prevent the card from serving.
    let work = if ranges { "blk-discard" } else { "blk-pattern" };
    fixture.word(&format!("run=blk-digest,{work},net-serve serve=60 device-timeout=2"));
    fixture.word(&format!("seed={seed}"));
    let mut violations = Violations::default();
    match case.violator {
        Violator::Disk => violations.disk = Some(case.violation),
        Violator::Scratch => violations.scratch = Some(case.violation),
        Violator::Card => violations.card = Some(case.violation),
    }
    let Served { mut session, servers, cable } = refusing::start(&mut fixture, violations)?;
    let mut findings = Vec::new();
    let serves = session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_some();
    let works = case.violator != Violator::Card || case.outcome == Outcome::Works;
    if serves {
        let mut cable_peer = CablePeer::new(cable);
        if works {
            findings.extend(cable_peer.echo(seed).err().map(Finding::CablePeer));
        } else {
            cable_peer.poke(seed);
            if let Outcome::Given(word) = case.outcome {
                session.qemu.console().wait_for(TIMEOUT, |line| line.contains(word));
            }
        }
    } else if works {
        findings.push(Finding::NeverSaid(SERVING));
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    let accounts = servers.finish().map_err(Finding::Server)?;
    findings.extend(violator(case, &finished, &accounts, &image)?);
    findings.extend(others(case, &finished, &expected, &other, seed));
    // QEMU confirms every reset, so no memory stays in quarantine.
    if judge::quarantined(&finished) != Some(false) {
        findings.push(Finding::Quarantine { expected: false });
    }
    findings.extend(refusals(&accounts));
    findings.extend(judge::exposure(&finished, false));
    verdict(finished, findings)
}

/// Checks the device that violated the protocol.
fn violator(
    case: Case,
    finished: &Finished,
    accounts: &[Account],
    image: &Path,
) -> Result<Vec<Finding>, Finding> {
    let mut findings = Vec::new();
    let status = match case.outcome {
        Outcome::Given(_) => DEVICE,
        Outcome::Wrong(_) => WRONG,
        Outcome::Works | Outcome::Blank | Outcome::Changed => 0,
        Outcome::Race(_) if finished.report.exit_status == Some(DEVICE) => DEVICE,
        Outcome::Race(_) => 0,
    };
    findings.extend(judge::end(finished, status));
    match case.outcome {
        Outcome::Given(word) | Outcome::Wrong(word) | Outcome::Race(word)
            if status != 0 && !finished.output.console.contains(word) =>
        {
            findings.push(Finding::NeverSaid(word));
        }
        Outcome::Works | Outcome::Blank | Outcome::Race(_)
            if status == 0 && case.violator == Violator::Disk =>
        {
            // Bytes that were not written read as zeros, not as data of an earlier request.
            let skipped: Vec<_> = accounts.iter().flat_map(|account| account.ledger.skipped()).collect();
            let expected = blanked(image, &skipped)?;
            findings.extend(judge::fact(finished, "blk0.sha256", &expected));
        }
        _ => {}
    }
    if case.violation == ProtocolViolation::Blk21 {
        // A physical block of 2^255 logical ones is invalid.
        findings.extend(judge::fact(finished, "blk0.physical_bytes", "512"));
    }
    if case.violation == ProtocolViolation::Blk17Huge {
        // Neither fewer, which would show nothing, nor as many as the device allows.
        let found = accounts.iter().map(|account| account.ledger.most_ranges()).max().unwrap_or(0);
        findings.extend((found != MOST_RANGES).then_some(Finding::Ranges { expected: MOST_RANGES, found }));
    }
    let device = case.violator.device();
    let told = accounts.iter().any(|account| account.device == device && account.ledger.violations() > 0);
    if !told && !case.violation.is_offer() {
        findings.push(Finding::NoViolation);
    }
    Ok(findings)
}

/// SHA-256 of an image with parts of it set to zero.
fn blanked(image: &Path, parts: &[(u64, u64)]) -> Result<String, Finding> {
    let failed = |error| Finding::File(image.to_path_buf(), error);
    let mut bytes = std::fs::read(image).map_err(failed)?;
    for &(start, length) in parts {
        let [start, length] = [start, length].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if let Some(part) = bytes.get_mut(start..start.saturating_add(length)) {
            part.fill(0);
        }
    }
    Ok(Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect())
}

/// Checks that the honest devices did their work.
fn others(case: Case, finished: &Finished, expected: &str, scratch: &Path, seed: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    match File::open(scratch) {
        _ if case.violator == Violator::Scratch && case.outcome != Outcome::Works => {}
        _ if RANGES.contains(&case.violation) => {}
        Ok(file) => findings.extend(crate::pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch.to_path_buf(), error)),
    }
    if case.violator != Violator::Disk {
        findings.extend(judge::fact(finished, "blk0.sha256", expected));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_violation_is_tested_under_its_own_row() {
        for case in &CASES {
            assert_eq!(case.row.case.id, case.violation.description().id, "{:?}", case.violation);
        }
    }

    #[test]
    fn each_violation_has_a_boot_test() {
        // QEMU itself refuses these violations.
        let untold = [ProtocolViolation::Neg02];
        for violation in ProtocolViolation::ALL {
            assert_eq!(
                CASES.iter().any(|case| case.violation == violation),
                !untold.contains(&violation),
                "{violation:?}"
            );
        }
    }
}
