//! Well-formed trees that describe an impossible machine: the guest names the fault and ends without a panic.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::doctor::Edit;

/// Exit statuses: bad device tree; bad command line.
const BAD_TREE: u8 = 2;
const BAD_WORDS: u8 = 3;
/// Properties that fill most of the 256 KiB that a tree may have.
const SERVICES: u32 = 9000;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("malformed-tree/services", services),
        Test::new("malformed-tree/last-token", last_token),
        Test::new("malformed-tree/two-chosen", two_chosen),
        Test::new("malformed-tree/two-rtas", two_rtas),
    ]
}

fn fixture(context: &Context, edits: Vec<Edit>) -> Result<Fixture, Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    if let Some(protection) = &mut fixture.protection {
        protection.edits = edits;
    }
    Ok(fixture)
}

fn refused(mut fixture: Fixture, status: u8, says: &'static str) -> Result<(), Failure> {
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, status);
    if !finished.output.console.contains(says) {
        findings.push(Finding::NeverSaid(says));
    }
    verdict(finished, findings)
}

/// More RTAS services than fit into the heap in which the tree is read.
fn services(context: &Context) -> Result<(), Failure> {
    case!("RTA-06", Halt, Q);
    let service = |n: u32| (format!("s{n}"), (0x10_0000 + n).to_be_bytes().to_vec());
    let services = (0..SERVICES).map(service).collect();
    refused(
        fixture(context, vec![Edit::Properties("rtas", services)])?,
        BAD_TREE,
        "more than 512 RTAS services",
    )
}

/// The boot stage ends a run with a wrong command line through an RTAS service. The tree gives that service the token of
/// another one, which does not end the machine.
fn last_token(context: &Context) -> Result<(), Failure> {
    case!("RTA-07", Halt, Q);
    let mut fixture = fixture(context, vec![Edit::Token("ibm,os-term", "nvram-store")])?;
    fixture.word("nonsense");
    refused(fixture, BAD_WORDS, "the command line cannot be followed")
}

/// Two command lines, one of which is measured.
fn two_chosen(context: &Context) -> Result<(), Failure> {
    case!("DT-21", Halt, Q);
    let other = ("bootargs".to_owned(), b"report=full run=map\0".to_vec());
    let mut fixture = fixture(context, vec![Edit::Twin("chosen", vec![other])])?;
    fixture.word("run=map");
    refused(fixture, BAD_TREE, "several /chosen nodes")
}

/// Two lists of services: the token of `ibm,set-xive` in one is that of the start of a CPU in the other.
fn two_rtas(context: &Context) -> Result<(), Failure> {
    case!("DT-21", Halt, Q);
    let token = |name: &str, token: u32| (name.to_owned(), token.to_be_bytes().to_vec());
    let swapped = vec![token("ibm,set-xive", 0x2006), token("start-cpu", 0x2005)];
    let mut fixture = fixture(context, vec![Edit::Twin("rtas", swapped)])?;
    fixture.word("run=map");
    refused(fixture, BAD_TREE, "several /rtas nodes")
}
