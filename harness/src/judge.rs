//! Checks of a finished guest: its end, its plain lines, and the observations from outside.

use crate::finding::Finding;
use crate::guest::report::Report;
use crate::guest::tap::{Tap, Verdict};
use crate::observe::contract;
use crate::observe::exposure::{self, Violation};
use crate::observe::proofs;
use crate::observe::rings::{self, Translation};
use crate::qemu::monitor::Monitor;
use crate::qemu::process::Ended;
use crate::session::{Finished, Session, last_line};
use crate::variable::{Firmware, Net};
use postern_ultravisor::strict::{self, Breach};
use postern_ultravisor::{End, call};
use std::fs::File;

/// Number of the control queue of a card that was given one pair of queues (virtio 1.2, 5.1.2).
const CONTROL: u16 = 2;

/// The ultracalls of a whole secure run, in order, without those that bring memory in.
pub const SECURE_CALLS: [&str; 2] = ["UV_ESM", "UV_SHARE_PAGE"];
/// Most bytes of a file that one UV_ESMB_GET_FILE brings.
const FILE_CHUNK: u64 = 64;

/// QEMU's exit status for a guest that ended with this status of its own: power-off, or `ibm,os-term`
/// under `-action panic=exit-failure`.
const fn qemu_status(status: u8) -> i32 {
    if status == 0 { 0 } else { 1 }
}

/// Checks that the guest ended by itself, in the way that belongs to `status`, and printed it in its last line.
#[must_use]
pub fn end(finished: &Finished, status: u8) -> Vec<Finding> {
    let mut findings = Vec::new();
    let expected = Ended::Exited(qemu_status(status));
    if finished.ended != expected {
        let errors = last_line(&finished.output.errors);
        findings.push(Finding::Ended { expected, found: finished.ended, errors });
    }
    findings.extend(said(finished, status));
    findings
}

/// Checks that the guest printed `status` in its last line and the machine ended by itself, in any way: for a host that
/// did not end the machine when the guest first asked for it.
#[must_use]
pub fn end_in_any_way(finished: &Finished, status: u8) -> Vec<Finding> {
    let mut findings = said(finished, status);
    if !matches!(finished.ended, Ended::Exited(_)) {
        let errors = last_line(&finished.output.errors);
        let expected = Ended::Exited(qemu_status(status));
        findings.push(Finding::Ended { expected, found: finished.ended, errors });
    }
    findings
}

/// Checks that one line has the status and that it is the last one.
fn said(finished: &Finished, status: u8) -> Vec<Finding> {
    let mut findings = Vec::new();
    if finished.report.exit_lines > 1 {
        findings.push(Finding::ExitLines(finished.report.exit_lines));
    }
    if finished.report.exit_status != Some(status) {
        findings.push(Finding::ExitStatus { expected: status, found: finished.report.exit_status });
    } else {
        let last = last_line(&finished.output.console);
        if last != format!("EXIT: STATUS={status}") {
            findings.push(Finding::NotLast(last));
        }
    }
    findings.extend(contract::breaches(&finished.report).map(Finding::Contract));
    findings
}

/// Checks that a plain line has this value.
#[must_use]
pub fn fact(finished: &Finished, key: &'static str, expected: &str) -> Option<Finding> {
    let found = finished.report.fact(key);
    (found != Some(expected)).then(|| Finding::Fact {
        key,
        expected: expected.to_owned(),
        found: found.map(str::to_owned),
    })
}

/// Checks that a plain line has a number other than 0.
#[must_use]
pub fn positive(finished: &Finished, key: &'static str) -> Option<Finding> {
    let good = finished.report.number(key).is_some_and(|n| n > 0);
    (!good).then(|| Finding::Fact {
        key,
        expected: "more than 0".to_owned(),
        found: finished.report.fact(key).map(str::to_owned),
    })
}

/// The kernel's name for its entry path.
#[must_use]
pub const fn entry(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Slof => "slof",
        Firmware::Vof => "vof",
        Firmware::Bios => "fdt",
    }
}

/// Whether a finding is the jump into the pool that `mmu/pool-execute` of `test=` makes on purpose.
#[must_use]
pub fn is_jump_of_a_test(finished: &Finished, finding: &Finding) -> bool {
    let Finding::Strict(Breach::ExecutesShared(at)) = finding else { return false };
    let tap = Tap::read(&finished.output.console);
    tap.verdict("mmu/pool-execute") == Some(&Verdict::Ok) && Some(*at) == finished.report.number("pool.base")
}

/// Checks that a secure guest exposed its pool and nothing else, according to each observer, and did nothing for which a
/// real machine would have ended it.
#[must_use]
pub fn exposure(finished: &Finished, translating: bool) -> Vec<Finding> {
    let shared = finished.shared();
    let mut violations = exposure::shares(&shared, &finished.report);
    violations.extend(exposure::reach(&shared, &finished.trace, translating));
    violations.into_iter().map(Finding::Exposure).chain(strict(finished)).collect()
}

/// Checks that a guest, once secure, did nothing for which a real machine would have ended it.
#[must_use]
pub fn strict(finished: &Finished) -> Vec<Finding> {
    if finished.ultravisor.as_ref().is_none_or(|report| !report.secure) {
        return Vec::new();
    }
    let breaches = strict::breaches(&finished.requests, &memory(finished), &finished.rtas_blocks);
    breaches.into_iter().map(Finding::Strict).collect()
}

/// The memory for strict mode's checks.
#[must_use]
pub fn memory(finished: &Finished) -> strict::Memory {
    let esm = finished.ultravisor.iter().flat_map(|report| &report.esm);
    strict::Memory {
        bytes: finished.memory,
        shared: finished.shared(),
        reserved: esm.flat_map(|esm| esm.reserved.iter().copied()).collect(),
    }
}

/// Checks, while the guest runs, that its rings and all their descriptors lie in shared memory. A card's control queue
/// may be empty: nobody has asked for an announcement.
#[must_use]
pub fn rings(session: &Session, monitor: &mut Monitor) -> Vec<Finding> {
    let control = |finding: &Finding| {
        matches!(finding, Finding::Exposure(Violation::NothingInRing { device, queue: CONTROL })
            if device == "virtio-net")
    };
    let mut findings = rings_in_use(session, monitor);
    findings.retain(|finding| !control(finding));
    findings
}

/// [`rings()`], each of which has been used.
#[must_use]
pub fn rings_in_use(session: &Session, monitor: &mut Monitor) -> Vec<Finding> {
    let Some(attachment) = &session.machine.attachment else { return Vec::new() };
    let rings = match monitor.rings() {
        Ok(rings) => rings,
        Err(error) => return vec![Finding::Monitor(error)],
    };
    let translation = match session.machine.access_platform {
        true => Translation::of(&session.trace()),
        false => Translation::None,
    };
    let judged = File::open(&attachment.memory)
        .and_then(|memory| rings::violations(&rings, &translation, &memory, &session.shared()));
    let mut violations = match judged {
        Ok(violations) => violations,
        Err(error) => return vec![Finding::File(attachment.memory.clone(), error)],
    };
    let devices =
        [("virtio-blk", !session.machine.disks.is_empty()), ("virtio-net", session.machine.net != Net::None)];
    for (device, _) in devices.into_iter().filter(|&(_, present)| present) {
        if rings.iter().all(|ring| ring.device != device) {
            violations.push(Violation::NoRings(device));
        }
    }
    violations.into_iter().map(Finding::Exposure).collect()
}

/// Whether the guest ended with memory of its pool in quarantine, by its summary.
#[must_use]
pub fn quarantined(finished: &Finished) -> Option<bool> {
    let line = finished.output.console.lines().find(|line| line.trim_end().ends_with(" quarantined"))?;
    Some(!line.contains(", 0 bytes quarantined"))
}

/// Checks that the guest's count of ultracalls equals the ultravisor's, without UV_ESM, which the boot stage makes.
#[must_use]
pub fn counted(finished: &Finished) -> Option<Finding> {
    let calls = finished.ultravisor.iter().flat_map(|report| &report.calls);
    let count = calls.filter(|record| call::name(record.call.opcode) != SECURE_CALLS[0]).count();
    fact(finished, "ultracalls", &count.to_string())
}

/// The expected ultracalls of a whole secure run of the product, in order, including those for the stated file.
#[must_use]
pub fn secure_calls(report: &Report) -> Vec<&'static str> {
    let [esm, share] = SECURE_CALLS;
    // The last call brings less than a whole chunk, or nothing.
    let files = report.number("secret.bytes").map_or(0, |bytes| bytes / FILE_CHUNK + 1);
    let files = (0..files).map(|_| "UV_ESMB_GET_FILE");
    [esm].into_iter().chain(files).chain([share]).collect()
}

/// Checks that the ultravisor worked to the end without a finding and that the guest made exactly these calls.
#[must_use]
pub fn ultracalls(finished: &Finished, expected: &[&'static str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(report) = &finished.ultravisor else { return vec![Finding::Secure { expected: true }] };
    let others = proofs::other_calls(&report.calls);
    let found: Vec<String> = others.iter().map(|c| call::name(c.call.opcode).to_owned()).collect();
    if found != expected {
        findings.push(Finding::Ultracalls { expected: expected.to_vec(), found });
    }
    if let End::Failed(error) = &report.end {
        findings.push(Finding::Ultravisor(error.to_string()));
    }
    findings.extend(report.violations.iter().cloned().map(Finding::Ultracall));
    for esm in &report.esm {
        if !esm.unmet.is_empty() {
            findings.push(Finding::Requirements(esm.unmet.clone()));
        }
    }
    findings
}
