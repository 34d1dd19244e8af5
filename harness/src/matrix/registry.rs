//! The tests in the guest: on a machine with all devices each passes, on a bare one each is skipped and names the missing
//! part, and each can fail.

mod disks;
mod edit;
mod fails;
mod recipes;

use crate::disk::Disk;
use crate::finding::Finding;
use crate::guest::tap::{Tap, Verdict};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::qemu::monitor::Monitor;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use disks::BYTES;
use workloads::registry::{Entry, Requirement, TESTS};
/// The first line of the tests.
const BEGUN: &str = "TAP version 13";
/// Exit status: there was nothing to work on.
const NOTHING: u8 = 6;
/// Exit status: bad command line.
const BAD_COMMAND_LINE: u8 = 3;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, secure, dynamic) in WHOLE {
        let body = move |context: &Context| whole(context, secure, dynamic);
        tests.push(Test::new(format!("registry/vof/{name}"), body));
    }
    tests.push(Test::new("registry/bare", bare));
    tests.push(Test::new("registry/one-test", one));
    tests.push(Test::new("registry/transitional", transitional));
    tests.push(Test::new("registry/nothing-but-skips", skips));
    tests.push(Test::new("registry/bad-name", bad_name));
    tests.extend(fails::tests());
    tests.extend(disks::tests());
    tests.extend(recipes::tests());
    tests
}

/// Machines with all devices: a name, whether it is secure, and whether its bridge makes dynamic windows.
const WHOLE: [(&str, bool, bool); 3] =
    [("normal", false, true), ("secure", true, true), ("normal-no-windows", false, false)];

/// Address of a host on the network that echoes TCP.
const ECHO: &str = "10.0.2.9";
/// A disk without MSI-X.
const LEVEL_DISK: [&str; 4] = [
    "-blockdev",
    "driver=null-co,read-zeroes=on,size=2097152,node-name=level",
    "-device",
    "virtio-blk-pci,drive=level,serial=level,vectors=0,disable-legacy=on,iommu_platform=on",
];
/// A source of random bytes.
const RANDOM: [&str; 4] = [
    "-object",
    "rng-builtin,id=random",
    "-device",
    "virtio-rng-pci,rng=random,disable-legacy=on,iommu_platform=on",
];

/// A machine with every device, VOF and the test image.
fn machine(context: &Context, secure: bool, dynamic: bool) -> Result<Fixture, Failure> {
    let config =
        GuestConfig { smp: 2, dynamic_windows: dynamic, ..GuestConfig::new(Firmware::Vof, secure, true) };
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    let data = fixture.data_disk(BYTES)?;
    fixture.scratch_disk(BYTES)?;
    fixture.machine.disks.push(Disk { read_only: true, serial: "fixed".to_owned(), ..Disk::data(data) });
    fixture.machine.net = Net::Netdev(format!("user,guestfwd=tcp:{ECHO}:7-cmd:cat"));
    fixture.machine.extra.extend(LEVEL_DISK.into_iter().chain(RANDOM).map(str::to_owned));
    Ok(fixture)
}

/// Whether a machine of [`WHOLE`] has what a test requires.
const fn has(requirement: Requirement, secure: bool, dynamic: bool) -> bool {
    match requirement {
        Requirement::Secure | Requirement::PoolWindow => secure,
        Requirement::Ordinary => !secure,
        Requirement::DirectWindow => !secure && dynamic,
        Requirement::OnDemandWindow => !secure && !dynamic,
        _ => true,
    }
}

fn whole(context: &Context, secure: bool, dynamic: bool) -> Result<(), Failure> {
    let mut fixture = machine(context, secure, dynamic)?;
    fixture.word(&format!("test=all echo={ECHO}"));
    let mut session = fixture.start()?;
    let resized = resize(&mut session);
    let finished = session.finish(LIMIT);
    let expected = |entry: &Entry| missing(entry, |requirement| has(requirement, secure, dynamic));
    let mut findings: Vec<Finding> = resized.err().into_iter().collect();
    findings.extend(judge::end(&finished, 0));
    findings.extend(compared(&finished, TESTS.iter(), expected));
    findings.extend(judge::fact(&finished, "tests.failed", "0"));
    if secure {
        let own = |finding: &Finding| judge::is_jump_of_a_test(&finished, finding);
        findings.extend(judge::exposure(&finished, true).into_iter().filter(|finding| !own(finding)));
    }
    verdict(finished, findings)
}

/// Makes the first disk larger once the tests have begun; the first test takes a second.
fn resize(session: &mut Session) -> Result<(), Finding> {
    session.qemu.console().wait_for(LIMIT, |line| line == BEGUN).ok_or(Finding::NeverSaid(BEGUN))?;
    let socket = session.machine.monitor.clone().unwrap_or_default();
    let mut monitor = Monitor::connect(&socket).map_err(Finding::Monitor)?;
    monitor.resize(0, BYTES + BYTES / 2).map_err(Finding::Monitor)
}

/// A test's expected result on a machine whose parts are given by `has`.
fn missing(entry: &Entry, has: impl Fn(Requirement) -> bool) -> Verdict {
    match entry.requires.iter().find(|requirement| !has(**requirement)) {
        Some(requirement) => Verdict::Skip(format!("needs {requirement}")),
        None => Verdict::Ok,
    }
}

/// Compares the results of these tests, and of no other, with the expected ones.
fn compared<'a>(
    finished: &Finished,
    entries: impl Iterator<Item = &'a Entry>,
    expected: impl Fn(&Entry) -> Verdict,
) -> Vec<Finding> {
    let tap = Tap::read(&finished.output.console);
    let entries: Vec<&Entry> = entries.collect();
    let mut findings = Vec::new();
    if tap.planned != Some(entries.len()) || !tap.is_whole() {
        findings.push(Finding::Plan { planned: tap.planned, came: tap.tests.len(), expected: entries.len() });
    }
    for entry in entries {
        let (expected, found) = (expected(entry), tap.verdict(entry.name));
        if found != Some(&expected) {
            findings.push(Finding::GuestTest { name: entry.name, expected, found: found.cloned() });
        }
    }
    findings
}

fn bare(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Vof, false, false))?;
    fixture.word("test=all");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    let expected = |entry: &Entry| missing(entry, |requirement| requirement == Requirement::Ordinary);
    findings.extend(compared(&finished, TESTS.iter(), expected));
    verdict(finished, findings)
}

fn one(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Vof, false, false))?;
    fixture.data_disk(BYTES)?;
    fixture.word("test=blk/rea*,blk/read");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    let wanted = ["blk/read", "blk/read-only"];
    let entries = TESTS.iter().filter(|entry| wanted.contains(&entry.name));
    findings.extend(compared(&finished, entries, |entry| {
        missing(entry, |requirement| requirement == Requirement::Disk)
    }));
    verdict(finished, findings)
}

/// Devices with the numbers of the first virtio, as QEMU makes them unless it is told otherwise.
fn transitional(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Vof, false, false))?;
    let disk = "driver=null-co,read-zeroes=on,size=2097152,node-name=old";
    let words = ["-blockdev", disk, "-device", "virtio-blk-pci,drive=old,disable-legacy=off"];
    let card = ["-netdev", "hubport,hubid=0,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="];
    fixture.machine.extra.extend(words.into_iter().chain(card).map(str::to_owned));
    fixture.word("test=pci/*,blk/read,net/link");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    let names = ["pci/config", "pci/absent", "blk/read", "net/link"];
    let entries = TESTS.iter().filter(|entry| names.contains(&entry.name));
    findings.extend(compared(&finished, entries, |_| Verdict::Ok));
    verdict(finished, findings)
}

fn skips(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Vof, false, false))?;
    fixture.word("test=net/link");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, NOTHING);
    findings.extend(judge::fact(&finished, "tests.skipped", "1"));
    verdict(finished, findings)
}

fn bad_name(context: &Context) -> Result<(), Failure> {
    const NAMED: &str = "test=blk/read,blk/reed: item 2: expected the name of a test";
    let mut fixture = Fixture::new(&context.on_test_image(), GuestConfig::new(Firmware::Vof, false, false))?;
    fixture.word("test=blk/read,blk/reed");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, BAD_COMMAND_LINE);
    if !finished.output.console.contains(NAMED) {
        findings.push(Finding::NeverSaid(NAMED));
    }
    verdict(finished, findings)
}

#[cfg(test)]
mod tests {
    use super::{WHOLE, has};
    use workloads::registry::TESTS;

    #[test]
    fn every_test_is_ok_on_one_of_the_machines() {
        for entry in TESTS {
            let runs = |(_, secure, dynamic): (&str, bool, bool)| {
                entry.requires.iter().all(|requirement| has(*requirement, secure, dynamic))
            };
            assert!(WHOLE.into_iter().any(runs), "{} is ok nowhere", entry.name);
        }
    }
}
