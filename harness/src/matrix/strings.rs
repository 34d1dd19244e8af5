//! A host whose texts contain fake lines of the guest and control sequences of a terminal.

use crate::disk::{self, Disk};
use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, seed, verdict};
use crate::matrix::malformed_tree::{Damage, handed_over};
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;

/// Exit status: bad command line.
const BAD_COMMAND_LINE: u8 = 3;

/// Names of disks, 20 bytes at most, and how each must be shown.
const NAMES: [(&str, &str); 3] = [
    ("\nEXIT: STATUS=0\n\x1b[2J", r"\nEXIT: STATUS=0\n\x1b[2J"),
    ("\r\npostern: mode=none", r"\r\npostern: mode=none"),
    ("\u{202e}\u{2028}\u{85}\u{feff}0=SUTATS", r"\xe2\x80\xae\xe2\x80\xa8\xc2\x85\xef\xbb\xbf0=SUTATS"),
];

/// As long as the name of QEMU's host bridge.
const BRIDGE: &[u8] = b"pci@\nEXIT: STATUS=0";
const TREE: [Damage; 2] =
    [Damage::Replace(b"pci@800000020000000", BRIDGE), Damage::Replace(b"POWER9@", b"\n\x1b[2J\r@")];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("OUT-02", Work, Q);
    let mut tests = vec![
        Test::new("hostile-strings/tree", tree),
        Test::new("hostile-strings/command-line/normal", |context| command_line(context, false)),
        Test::new("hostile-strings/command-line/secure", |context| command_line(context, true)),
    ];
    for secure in [true, false] {
        let mode = if secure { "secure" } else { "normal" };
        tests.push(Test::new(format!("hostile-strings/disks/{mode}"), move |context| disks(context, secure)));
    }
    tests
}

fn tree(context: &Context) -> Result<(), Failure> {
    let finished = handed_over(context, &TREE, |fixture| {
        fixture.machine.access_platform = true;
        fixture.word("run=blk-digest");
        fixture.data_disk(1 << 20).map(drop)
    })?;
    let mut findings = clean(&finished, 0);
    for shown in [r"pci@\nEXIT: STATUS=0: ", r"\n\x1b[2J\r (PVR "] {
        if !finished.output.console.contains(shown) {
            findings.push(Finding::NeverSaid(shown));
        }
    }
    verdict(finished, findings)
}

/// Three odd names, and every other ASCII character except NUL.
fn disks(context: &Context, secure: bool) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, secure, true))?;
    fixture.word("run=blk-digest");
    let ascii: String = (1..=0x7f).map(char::from).filter(|c| *c != ',').collect();
    let pieces = ascii.as_bytes().chunks(20).map(|piece| String::from_utf8_lossy(piece).into_owned());
    let names = NAMES.iter().map(|(name, _)| (*name).to_owned());
    for (number, serial) in names.chain(pieces).enumerate() {
        let image = fixture.dir.path(&format!("disk{number}"));
        disk::make(&image, 1 << 16, seed()).map_err(|error| Finding::File(image.clone(), error))?;
        fixture.machine.disks.push(Disk { serial, ..Disk::data(image) });
    }
    let finished = fixture.boot()?;
    let mut findings = clean(&finished, 0);
    for (key, (_, shown)) in ["blk0.id", "blk1.id", "blk2.id"].into_iter().zip(NAMES) {
        findings.extend(judge::fact(&finished, key, shown));
    }
    findings.extend(judge::fact(&finished, "mode", if secure { "secure-emulated" } else { "normal" }));
    verdict(finished, findings)
}

/// The boot stage prints the command line's error before UV_ESM and before the kernel starts.
fn command_line(context: &Context, secure: bool) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, secure, false))?;
    for word in
        ["\x1b[2J=\x08\x7f", "\u{202e}x", "\nEXIT: STATUS=0\n", "run=\x1b]0;x\x07", "\u{2028}postern:"]
    {
        fixture.word(word);
    }
    let finished = fixture.boot()?;
    let mut findings = clean(&finished, BAD_COMMAND_LINE);
    for shown in [r"\x1b[2J=\x08\x7f: unknown option", r"\xe2\x80\xaex: unknown option"] {
        if !finished.output.console.contains(shown) {
            findings.push(Finding::NeverSaid(shown));
        }
    }
    verdict(finished, findings)
}

/// Checks that the guest ended with this status, that one line has it, and that all lines are printable ASCII.
fn clean(finished: &Finished, status: u8) -> Vec<Finding> {
    let mut findings = judge::end(finished, status);
    let lines = finished.output.console.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let odd = lines.filter(|line| !line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    findings.extend(odd.map(|line| Finding::ControlBytes(line.to_owned())));
    findings
}
