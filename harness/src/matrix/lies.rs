//! Devices that lie, each lie a row of the case list: the guest survives it, ends in the way that is
//! documented, names the lie, and its other device goes on working.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::cells::SERVING;
use crate::matrix::refusing::{self, Lies, Served, refusals};
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, seed, verdict};
use crate::peer::station::Station;
use crate::servers::Account;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_adversary::lie::Lie;
use postern_cases::{Observation, case};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

const DATA_BYTES: u64 = (1 << 20) + 512;
/// Longest that the driver of a card waits for it, and more.
const PATIENCE: Duration = Duration::from_secs(120);
/// Exit status: a device is missing, refused or broken.
const DEVICE: u8 = 6;

/// Who lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Liar {
    Disk,
    Scratch,
    Card,
}

impl Liar {
    const fn device(self) -> &'static str {
        match self {
            Self::Disk | Self::Scratch => "blk",
            Self::Card => "net",
        }
    }
}

/// What the lie may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The device is not used any more, or not at all: status 6, and the log has one of these words.
    Given(&'static str),
    /// Nothing depends on it: status 0, and the device works.
    Works,
    /// The device works, and what it did not write reads as zeros.
    Blank,
    /// The device works; what it carries is its own to change, and is not compared.
    Changed,
    /// A race that the guest cannot win and need not: it has read a word before it changed, and the device works; or
    /// after that, and the device is given up with one of these words. There is no third end.
    Race(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    lie: Lie,
    row: Observation,
    liar: Liar,
    outcome: Outcome,
}

const fn disk(lie: Lie, row: Observation, outcome: Outcome) -> Case {
    Case { lie, row, liar: Liar::Disk, outcome }
}

const fn scratch(lie: Lie, row: Observation, outcome: Outcome) -> Case {
    Case { lie, row, liar: Liar::Scratch, outcome }
}

const fn card(lie: Lie, row: Observation, outcome: Outcome) -> Case {
    Case { lie, row, liar: Liar::Card, outcome }
}

const CASES: [Case; 50] = [
    disk(Lie::Rng01, case!("RNG-01", Break, Q), Outcome::Given("used id")),
    disk(Lie::Rng02, case!("RNG-02", Break, Q), Outcome::Given("used id")),
    disk(Lie::Rng03, case!("RNG-03", Break, Q), Outcome::Given("was not posted")),
    disk(Lie::Rng04, case!("RNG-04", Break, Q), Outcome::Given("not the head")),
    disk(Lie::Rng05, case!("RNG-05", Break, Q), Outcome::Given("used i")),
    disk(Lie::Rng07, case!("RNG-07", Break, Q), Outcome::Given("were allowed")),
    disk(Lie::Rng08, case!("RNG-08", Break, Q), Outcome::Given("were needed")),
    disk(Lie::Rng11Back, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    disk(Lie::Rng11Ahead, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    disk(Lie::Rng12, case!("RNG-12", Ignore, Q), Outcome::Race("used id")),
    disk(Lie::Rng13, case!("RNG-13", Ignore, Q), Outcome::Works),
    disk(Lie::Rng15, case!("RNG-15", Work, Q), Outcome::Works),
    disk(Lie::Rng17, case!("RNG-17", Work, Q), Outcome::Works),
    disk(Lie::Rng19, case!("RNG-19", Break, Q), Outcome::Given("no answer in time")),
    disk(Lie::Rng20, case!("RNG-20", Quarantine, Q), Outcome::Given("no answer in time")),
    disk(Lie::Neg05, case!("NEG-05", Clamp, Q), Outcome::Works),
    disk(Lie::Blk01, case!("BLK-01", Fail, Q), Outcome::Given("undefined status")),
    disk(Lie::Blk03, case!("BLK-03", Ignore, Q), Outcome::Race("I/O error")),
    disk(Lie::Blk05Empty, case!("BLK-05", Fail, Q), Outcome::Given("holds no bytes")),
    disk(Lie::Blk05Huge, case!("BLK-05", Refuse, Q), Outcome::Given("capacity")),
    disk(Lie::Blk08, case!("BLK-08", Refuse, Q), Outcome::Given("size_max")),
    scratch(Lie::Blk09, case!("BLK-09", Fail, Q), Outcome::Given("I/O error")),
    scratch(Lie::Rng09, case!("RNG-09", Ignore, Q), Outcome::Works),
    disk(Lie::Blk10, case!("BLK-10", Ignore, Q), Outcome::Blank),
    disk(Lie::Blk11, case!("BLK-11", Ignore, Q), Outcome::Changed),
    disk(Lie::Blk12, case!("BLK-12", Clamp, Q), Outcome::Works),
    disk(Lie::Irq02, case!("IRQ-02", Fallback, Q), Outcome::Works),
    disk(Lie::Irq04, case!("IRQ-04", Work, Q), Outcome::Works),
    card(Lie::Rng01, case!("RNG-01", Break, Q), Outcome::Given("used id")),
    card(Lie::Rng02, case!("RNG-02", Break, Q), Outcome::Given("used id")),
    card(Lie::Rng03, case!("RNG-03", Break, Q), Outcome::Given("was not posted")),
    card(Lie::Rng05, case!("RNG-05", Break, Q), Outcome::Given("used i")),
    card(Lie::Rng11Back, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    card(Lie::Rng11Ahead, case!("RNG-11", Break, Q), Outcome::Given("used index went")),
    card(Lie::Rng12, case!("RNG-12", Ignore, Q), Outcome::Race("used id")),
    card(Lie::Rng13, case!("RNG-13", Ignore, Q), Outcome::Works),
    card(Lie::Rng15, case!("RNG-15", Work, Q), Outcome::Works),
    card(Lie::Neg05, case!("NEG-05", Clamp, Q), Outcome::Works),
    card(Lie::Neg07, case!("NEG-07", Ignore, Q), Outcome::Changed),
    card(Lie::Net01, case!("NET-01", Drop, Q), Outcome::Works),
    card(Lie::Net02, case!("NET-02", Drop, Q), Outcome::Works),
    card(Lie::Net03, case!("NET-03", Break, Q), Outcome::Given("were allowed")),
    card(Lie::Net05, case!("NET-05", Ignore, Q), Outcome::Works),
    card(Lie::Net06, case!("NET-06", Ignore, Q), Outcome::Works),
    card(Lie::Net07, case!("NET-07", Ignore, Q), Outcome::Works),
    card(Lie::Net12, case!("NET-12", Break, Q), Outcome::Given("nothing taken")),
    card(Lie::Net13, case!("NET-13", Work, Q), Outcome::Works),
    card(Lie::Net14, case!("NET-14", Ignore, Q), Outcome::Changed),
    card(Lie::Irq02, case!("IRQ-02", Fallback, Q), Outcome::Works),
    card(Lie::Irq04, case!("IRQ-04", Work, Q), Outcome::Works),
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |case: &'static Case| {
        let name = format!("lie/{}/{}{}", case.liar.device(), case.row.case.id, case.lie.suffix());
        Test::new(name, move |context| run(context, *case))
    };
    CASES.iter().map(test).collect()
}

fn run(context: &Context, case: Case) -> Result<(), Failure> {
    let mut scene = Scene::new(context, Shape::new(Firmware::Bios, true, false))?;
    let seed = seed();
    // The liar is the first disk; the second one is honest.
    let image = scene.data_disk(DATA_BYTES)?;
    let other = scene.scratch_disk(DATA_BYTES)?;
    let expected = digest(&image)?;
    // A card that broke ends serving by itself; a disk that broke is not to keep the card from serving.
    scene.word("run=blk-digest,blk-pattern,net-serve serve=60 patience=2");
    scene.word(&format!("seed={seed}"));
    let mut lies = Lies::default();
    match case.liar {
        Liar::Disk => lies.disk = Some(case.lie),
        Liar::Scratch => lies.scratch = Some(case.lie),
        Liar::Card => lies.card = Some(case.lie),
    }
    let Served { mut session, servers, cable } = refusing::start(&mut scene, lies)?;
    let mut findings = Vec::new();
    let serves = session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_some();
    let works = case.liar != Liar::Card || case.outcome == Outcome::Works;
    if serves {
        let mut station = Station::new(cable);
        if works {
            findings.extend(station.echo(seed).err().map(Finding::Station));
        } else {
            station.poke(seed);
            if let Outcome::Given(word) = case.outcome {
                session.qemu.console().wait_for(PATIENCE, |line| line.contains(word));
            }
        }
    } else if works {
        findings.push(Finding::NeverSaid(SERVING));
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    let accounts = servers.finish().map_err(Finding::Server)?;
    findings.extend(liar(case, &finished, &accounts, &image)?);
    findings.extend(others(case, &finished, &expected, &other, seed));
    // QEMU confirms every reset, so nothing stays out of use.
    if judge::quarantined(&finished) != Some(false) {
        findings.push(Finding::Quarantine { expected: false });
    }
    findings.extend(refusals(&accounts));
    findings.extend(judge::exposure(&finished, false));
    verdict(finished, findings)
}

/// What became of the device that lied.
fn liar(
    case: Case,
    finished: &Finished,
    accounts: &[Account],
    image: &Path,
) -> Result<Vec<Finding>, Finding> {
    let mut findings = Vec::new();
    let status = match case.outcome {
        Outcome::Given(_) => DEVICE,
        Outcome::Works | Outcome::Blank | Outcome::Changed => 0,
        Outcome::Race(_) if finished.report.exit_status == Some(DEVICE) => DEVICE,
        Outcome::Race(_) => 0,
    };
    findings.extend(judge::end(finished, status));
    match case.outcome {
        Outcome::Given(word) | Outcome::Race(word)
            if status == DEVICE && !finished.output.console.contains(word) =>
        {
            findings.push(Finding::NeverSaid(word));
        }
        Outcome::Works | Outcome::Blank | Outcome::Race(_) if status == 0 && case.liar == Liar::Disk => {
            // All that was not written reads as zeros: nothing of an earlier request was in its place.
            let skipped: Vec<_> = accounts.iter().flat_map(|account| account.ledger.skipped()).collect();
            let expected = blanked(image, &skipped)?;
            findings.extend(judge::fact(finished, "blk0.sha256", &expected));
        }
        _ => {}
    }
    let device = case.liar.device();
    let told = accounts.iter().any(|account| account.device == device && account.ledger.lies() > 0);
    if !told && !case.lie.is_offer() {
        findings.push(Finding::NoLie);
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

/// The devices that told the truth did their work.
fn others(case: Case, finished: &Finished, expected: &str, scratch: &Path, seed: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    match File::open(scratch) {
        _ if case.liar == Liar::Scratch && case.outcome != Outcome::Works => {}
        Ok(file) => findings.extend(crate::pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch.to_path_buf(), error)),
    }
    if case.liar != Liar::Disk {
        findings.extend(judge::fact(finished, "blk0.sha256", expected));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_is_told_under_the_row_that_it_names() {
        for case in &CASES {
            assert_eq!(case.row.case.id, case.lie.told().id, "{:?}", case.lie);
        }
    }

    #[test]
    fn every_lie_is_told_to_a_guest() {
        // QEMU itself refuses to be such a device.
        let untold = [Lie::Neg02];
        for lie in Lie::ALL {
            assert_eq!(CASES.iter().any(|case| case.lie == lie), !untold.contains(&lie), "{lie:?}");
        }
    }
}
