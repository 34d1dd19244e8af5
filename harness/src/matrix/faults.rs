//! Every fault that the emulated ultravisor can inject, and how the guest has to end.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::observe::exposure;
use crate::variable::Firmware;
use postern_cases::{Observation, case};
use postern_ultravisor::Behaviour;

/// Exit status: UV_ESM failed.
const NOT_SECURE: u8 = 4;
/// Exit status: the pool could not be shared.
const NOT_SHARED: u8 = 5;

/// The expected result of a fault.
#[derive(Clone, Copy, Debug)]
struct Case {
    row: Observation,
    faults: &'static str,
    behaviour: Behaviour,
    firmware: Firmware,
    status: u8,
    /// Whether the ultravisor holds the guest as secure at the end.
    secure: bool,
    /// Text that its console must have.
    names: Option<&'static str>,
}

/// UV_ESM fails, and the guest does not go on as an ordinary one.
const fn esm(row: Observation, faults: &'static str, names: &'static str) -> Case {
    Case {
        row,
        faults,
        behaviour: Behaviour::Published,
        firmware: Firmware::Bios,
        status: NOT_SECURE,
        secure: false,
        names: Some(names),
    }
}

/// UV_SHARE_PAGE fails, and another range is shared.
const fn shared(row: Observation, faults: &'static str, names: Option<&'static str>) -> Case {
    Case { status: 0, secure: true, names, ..esm(row, faults, "") }
}

/// UV_SHARE_PAGE fails, and nothing is shared.
const fn not_shared(row: Observation, faults: &'static str, names: &'static str) -> Case {
    Case { status: NOT_SHARED, ..shared(row, faults, Some(names)) }
}

const UNSHARED: &str = "did not share";

const CASES: [Case; 16] = [
    esm(case!("UV-20", Halt, M), "esm:before=U_RETRY", "U_RETRY"),
    esm(case!("UV-20", Halt, M), "esm:before=U_PERMISSION", "U_PERMISSION"),
    // The tree announces an ultravisor that is not there.
    esm(case!("DT-11", Halt, M), "esm:before=U_FUNCTION", "U_FUNCTION"),
    esm(case!("UV-20", Halt, M), "esm:after", "U_PARAMETER"),
    // A range whose state is unknown is given up for good, and another one is tried.
    shared(case!("UV-01", Quarantine, M), "share:1=U_P2", Some("U_P2")),
    not_shared(case!("UV-01", Quarantine, M), "share:all=U_P2", "U_P2"),
    not_shared(case!("UV-17", Halt, M), "share:1=U_PERMISSION", "U_PERMISSION"),
    not_shared(case!("UV-04", Halt, M), "any:2=U_FUNCTION", "U_FUNCTION"),
    not_shared(case!("UV-01", Quarantine, M), "share:all=-1234", "-1234"),
    shared(case!("UV-02", Retry, M), "share:retry=3", None),
    not_shared(case!("UV-02", Retry, M), "share:retry=forever", "U_RETRY"),
    shared(case!("UV-16", Quarantine, M), "share:1=silent", Some(UNSHARED)),
    not_shared(case!("UV-16", Quarantine, M), "share:silent", UNSHARED),
    Case {
        behaviour: Behaviour::Documented,
        ..shared(case!("UV-16", Quarantine, M), "share:1=silent", Some(UNSHARED))
    },
    Case { firmware: Firmware::Slof, ..esm(case!("UV-20", Halt, M), "esm:before=U_P3", "U_P3") },
    Case { firmware: Firmware::Vof, ..esm(case!("UV-20", Halt, M), "esm:after", "U_PARAMETER") },
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    // The node in the tree, MSR[S] = 0, and an ultravisor: what `documented` and the secure combinations boot from.
    let _ = case!("DT-11", Work, M);
    let _ = case!("UV-16", Work, M);
    let mut tests: Vec<Test> = CASES
        .iter()
        .map(|case| {
            let behaviour = match case.behaviour {
                Behaviour::Published => "published",
                Behaviour::Documented => "documented",
            };
            let (row, firmware, faults) = (case.row.case.id, case.firmware.name(), case.faults);
            let name = format!("fault/{row}/{firmware}/{behaviour}/{faults}");
            Test::new(name, move |context| fault(context, case))
        })
        .collect();
    tests.push(Test::new("behaviour/documented", documented));
    tests.push(Test::new("esm/nobody-there", nobody));
    tests.push(Test::new("esm/initrd-missing", no_initrd));
    tests.push(Test::new("esm/bootargs-missing", no_bootargs));
    tests
}

fn fault(context: &Context, case: &Case) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(case.firmware, true, true))?;
    if let Some(protection) = &mut fixture.protection {
        protection.behaviour = case.behaviour;
        protection.faults = case.faults.parse().unwrap_or_default();
    }
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, case.status);
    if let Some(name) = case.names.filter(|name| !finished.output.console.contains(name)) {
        findings.push(Finding::NeverSaid(name));
    }
    let report = finished.ultravisor.as_ref();
    if report.is_none_or(|report| report.secure != case.secure || report.calls.iter().all(|c| !c.faulted)) {
        findings.push(Finding::Secure { expected: case.secure });
    }
    if case.status == 0 {
        findings.extend(judge::exposure(&finished, true));
        findings.extend(judge::counted(&finished));
    } else {
        // A guest that gave up has mapped nothing for devices.
        let reached = exposure::reach(&finished.shared(), &finished.trace, false);
        findings.extend(reached.into_iter().map(Finding::Exposure));
        findings.extend(judge::strict(&finished));
    }
    verdict(finished, findings)
}

/// The same guest under the other description of the ultravisor.
fn documented(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    if let Some(protection) = &mut fixture.protection {
        protection.behaviour = Behaviour::Documented;
    }
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "mode", "secure-emulated"));
    findings.extend(judge::exposure(&finished, true));
    findings.extend(judge::ultracalls(&finished, &judge::SECURE_CALLS));
    verdict(finished, findings)
}

/// `sc 2` without any ultravisor raises an interrupt at the guest's own vector, and the boot ends: the command line has
/// `svm=on`.
fn nobody(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, false, true))?;
    fixture.word("svm=on");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, NOT_SECURE);
    if !finished.output.console.contains("U_FUNCTION") {
        findings.push(Finding::NeverSaid("U_FUNCTION"));
    }
    verdict(finished, findings)
}

/// UV_ESM refuses a tree without an initrd, and the boot ends.
fn no_initrd(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    fixture.machine.initrd = None;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, NOT_SECURE);
    if finished.ultravisor.as_ref().is_none_or(|report| report.secure) {
        findings.push(Finding::Secure { expected: false });
    }
    verdict(finished, findings)
}

/// Without a command line there is none to measure: the boot stage puts an empty one into the tree.
fn no_bootargs(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    fixture.data_disk(1 << 20)?;
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::ultracalls(&finished, &judge::SECURE_CALLS));
    verdict(finished, findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_ultravisor::Faults;

    #[test]
    fn every_fault_can_be_parsed() {
        for case in &CASES {
            let faults: Faults = case.faults.parse().unwrap();
            assert!(!faults.is_empty());
        }
    }
}
