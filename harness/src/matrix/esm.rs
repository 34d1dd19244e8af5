//! Effects of UV_ESM on a guest's memory and registers, and values that a host can leave there.

use crate::disk::{self, Disk};
use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::observe::map;
use crate::session::Finished;
use crate::variable::{Firmware, Net};
use postern_cases::case;
use postern_ultravisor::fdt::{Fdt, claimed_size};
use postern_ultravisor::poison::{ENTRY, MARKER};
use postern_ultravisor::{EsmReport, FRAME_SIZE, Outcome, call::Code};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Exit status: UV_ESM failed.
const NOT_SECURE: u8 = 4;
/// Byte that fills unused memory at reset.
const FILL: u8 = 0x5a;
/// Frames that a guest of this size may keep: image, tree, initrd, RTAS area.
const MOST_KEPT: u64 = 24;
const SEED: u64 = 0x0e5d;

/// Faults that put the host's values where the guest is entered.
const POISON: [&str; 3] = ["esm:poison=0xff", "esm:poison=code", "esm:poison=code,esm:warn-only"];
/// The same, and the guest's first hypercall returns into a vector, for which there was no interrupt.
const EXITS: [&str; 3] = [
    "esm:poison=code,esm:exit=0x500",
    "esm:poison=code,esm:exit=0x900",
    "esm:poison=code,esm:warn-only,esm:exit=0x500",
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("ESM-01", Work, M);
    let _ = case!("ESM-02", Work, M);
    let _ = case!("ESM-03", Work, M);
    let _ = case!("ESM-04", Work, M);
    let _ = case!("ESM-05", Halt, M);
    let _ = case!("ESM-06", Halt, M);
    let _ = case!("ESM-07", Work, M);
    let _ = case!("ESM-08", Work, M);
    let _ = case!("ESM-09", Work, M);
    let mut tests = Vec::new();
    for firmware in Firmware::ALL {
        let name = |what: &str| format!("esm/{what}/{}", firmware.name());
        tests.push(Test::new(name("forgets"), move |context| forgets(context, firmware)));
        tests.push(Test::new(name("abort-zeroes"), move |context| aborted(context, firmware)));
    }
    tests.push(Test::new("esm/warn-only", warn_only));
    for firmware in [Firmware::Vof, Firmware::Bios] {
        let name = |what: &str| format!("esm/{what}/{}", firmware.name());
        tests.push(Test::new(name("poison"), move |context| poisoned(context, firmware, &POISON)));
        tests.push(Test::new(name("first-exit"), move |context| poisoned(context, firmware, &EXITS)));
    }
    tests.push(Test::new("esm/poison/marker-is-seen", marker));
    tests.push(Test::new("esm/odd-reservation", odd_reservation));
    tests.push(Test::new("esm/outside-slots", outside));
    tests.push(Test::new("esm/sparse-servers", sparse));
    for firmware in [Firmware::Vof, Firmware::Bios] {
        let name = format!("esm/boot-cpu/{}", firmware.name());
        tests.push(Test::new(name, move |context| boot_cpu(context, firmware)));
    }
    tests
}

fn fixture(context: &Context, firmware: Firmware, mebibytes: u64, faults: &str) -> Result<Fixture, Failure> {
    let mut fixture =
        Fixture::new(context, GuestConfig { mebibytes, ..GuestConfig::new(firmware, true, true) })?;
    if let Some(protection) = &mut fixture.protection {
        protection.faults = faults.parse().unwrap_or_default();
    }
    Ok(fixture)
}

/// The same disk in every run, whose digest is taken.
fn work(fixture: &mut Fixture) -> Result<(), Failure> {
    let path = fixture.dir.path("same");
    disk::make(&path, 1 << 20, SEED).map_err(|error| Finding::File(path.clone(), error))?;
    fixture.machine.disks.push(Disk::data(path));
    fixture.machine.net = Net::None;
    fixture.word("run=blk-digest,map");
    Ok(())
}

/// A run whose memory can be read afterwards.
struct Seen {
    finished: Finished,
    memory: File,
    // Keeps the memory file's directory.
    _scene: Fixture,
}

fn watch(mut fixture: Fixture) -> Result<Seen, Failure> {
    let session = fixture.start()?;
    let path = session.machine.attachment.as_ref().map(|a| a.memory.clone()).unwrap_or_default();
    let memory = File::open(&path).map_err(|error| Finding::File(path, error))?;
    Ok(Seen { finished: session.finish(LIMIT), memory, _scene: fixture })
}

impl Seen {
    fn read(&self, address: u64, bytes: u64) -> Result<Vec<u8>, Failure> {
        let mut found = vec![0; usize::try_from(bytes).unwrap_or(0)];
        let read = self.memory.read_exact_at(&mut found, address);
        read.map_err(|error| Finding::File(Path::new("guest memory").to_path_buf(), error))?;
        Ok(found)
    }

    /// Number of frames that are as they were at reset.
    fn filled(&self) -> Result<u64, Failure> {
        let full = [FILL; FRAME_SIZE as usize];
        let mut count = 0;
        for at in (0..self.finished.memory).step_by(FRAME_SIZE as usize) {
            count += u64::from(self.read(at, FRAME_SIZE)? == full);
        }
        Ok(count)
    }

    fn esm(&self) -> Result<&EsmReport, Failure> {
        let report = self.finished.ultravisor.as_ref().and_then(|report| report.esm.first());
        Ok(report.ok_or(Finding::Secure { expected: true })?)
    }

    fn tree(&self) -> Result<Fdt, Failure> {
        let at = self.esm()?.fdt;
        let size = claimed_size(&self.read(at, 8)?).map_err(Finding::NoTree)?;
        Ok(Fdt::parse(&self.read(at, size.into())?).map_err(Finding::NoTree)?)
    }
}

/// Memory is filled with a pattern at reset; after UV_ESM all of it is zero except the parts that UV_ESM keeps.
fn forgets(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    let mebibytes = if firmware == Firmware::Vof { 1024 } else { 512 };
    let mut fixture = fixture(context, firmware, mebibytes, "ram:fill=0x5a")?;
    work(&mut fixture)?;
    let seen = watch(fixture)?;
    let mut findings = judge::end(&seen.finished, 0);
    findings.extend(judge::fact(&seen.finished, "mode", "secure-emulated"));
    findings.extend(judge::exposure(&seen.finished, true));
    findings.extend(judge::ultracalls(&seen.finished, &judge::SECURE_CALLS));
    let left = seen.filled()?;
    if left != 0 {
        findings.push(Finding::Frames { what: "still as at reset", found: left });
    }
    let frames = seen.finished.memory / FRAME_SIZE;
    let forgotten = seen.esm()?.forgotten;
    if forgotten < frames - MOST_KEPT {
        findings.push(Finding::Frames { what: "forgotten", found: forgotten });
    }
    verdict(seen.finished, findings)
}

/// A development build of the ultravisor keeps all memory of a guest without an ESM blob. The guest works, and most of
/// memory is as it was at reset: this shows that the check of [`forgets`] works.
fn warn_only(context: &Context) -> Result<(), Failure> {
    let mut fixture = fixture(context, Firmware::Bios, 512, "ram:fill=0x5a,esm:warn-only")?;
    work(&mut fixture)?;
    let seen = watch(fixture)?;
    let mut findings = judge::end(&seen.finished, 0);
    findings.extend(judge::exposure(&seen.finished, true));
    findings.extend(judge::ultracalls(&seen.finished, &judge::SECURE_CALLS));
    let left = seen.filled()?;
    if left < seen.finished.memory / FRAME_SIZE / 2 {
        findings.push(Finding::Frames { what: "still as at reset", found: left });
    }
    verdict(seen.finished, findings)
}

/// Registers, low memory and the bytes behind image, tree and initrd have the host's values, which may be code; with a
/// development build all other memory, too. The console is the same as without them.
fn poisoned(context: &Context, firmware: Firmware, faults: &[&str]) -> Result<(), Failure> {
    let run = |faults: &str| -> Result<Finished, Failure> {
        let mut fixture = fixture(context, firmware, 256, faults)?;
        work(&mut fixture)?;
        Ok(watch(fixture)?.finished)
    };
    let plain = run("")?;
    let words = said(&plain.output.console);
    let mut findings = judge::end(&plain, 0);
    if !findings.is_empty() {
        return verdict(plain, findings);
    }
    for faults in faults {
        let finished = run(faults)?;
        findings.extend(judge::end(&finished, 0));
        findings.extend(judge::exposure(&finished, true));
        findings.extend(judge::ultracalls(&finished, &judge::SECURE_CALLS));
        findings.extend(difference(&words, &said(&finished.output.console)));
        if finished.output.console.contains(MARKER) {
            findings.push(Finding::Said(MARKER));
        }
        if !findings.is_empty() {
            return verdict(finished, findings);
        }
    }
    Ok(())
}

/// As the first part of `esm/poison/…`.
pub(super) fn poisoned_by_bytes(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    poisoned(context, firmware, &POISON[..1])
}

/// A guest's console without the parts that depend on time: the clock before each line, durations, and counts of waits.
fn said(console: &str) -> Vec<String> {
    let timed = |line: &str| {
        let word = line.trim_start_matches("postern: ");
        let key = word.split('=').next().unwrap_or_default();
        let word = word.trim_start().split([' ', ':']).next().unwrap_or_default();
        key.ends_with("_us")
            || key.ends_with("_ns")
            || key == "irq.taken"
            || ["interrupts", "calls"].contains(&word)
    };
    let line = |line: &str| {
        let line = line.trim_end();
        let line = match (line.strip_prefix('['), line.split_once("] ")) {
            (Some(_), Some((_, rest))) => rest,
            _ => line,
        };
        match (line.rsplit_once(" ("), line.ends_with(" ms)")) {
            (Some((rest, _)), true) => rest.to_owned(),
            _ => line.to_owned(),
        }
    };
    console.lines().map(line).filter(|line| !timed(line)).collect()
}

fn difference(plain: &[String], poisoned: &[String]) -> Option<Finding> {
    let pair = |index: usize| (plain.get(index).cloned(), poisoned.get(index).cloned());
    let first = (0..plain.len().max(poisoned.len())).map(pair).find(|(plain, poisoned)| plain != poisoned);
    first.map(|(plain, poisoned)| Finding::OtherWords { expected: plain, found: poisoned })
}

/// A guest that executes the host's code prints a marker: this shows that the check of [`poisoned`] works.
fn marker(context: &Context) -> Result<(), Failure> {
    for entry in [ENTRY, 0x500, 0xc20] {
        let mut fixture = fixture(context, Firmware::Bios, 256, "esm:poison=code")?;
        if let Some(protection) = &mut fixture.protection {
            protection.faults.conditions.enter_at = Some(entry);
        }
        work(&mut fixture)?;
        let finished = watch(fixture)?.finished;
        if !finished.output.console.contains(MARKER) {
            return verdict(finished, vec![Finding::NeverSaid(MARKER)]);
        }
    }
    Ok(())
}

/// UV_ESM is aborted as late as possible: the guest names it and ends by H_RTAS, as the RTAS stub is gone.
fn aborted(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    let seen = watch(fixture(context, firmware, 512, "esm:after")?)?;
    let mut findings = judge::end(&seen.finished, NOT_SECURE);
    if seen.esm()?.outcome != Outcome::Aborted(Code::PARAMETER) {
        findings.push(Finding::Secure { expected: false });
    }
    if firmware != Firmware::Bios {
        let tree = seen.tree()?;
        let base = tree.node("/rtas").and_then(|rtas| rtas.number("linux,rtas-base"));
        let base = base.ok_or(Finding::Secure { expected: false })?;
        if seen.read(base, 20)?.iter().any(|byte| *byte != 0) {
            findings.push(Finding::Frames { what: "with an RTAS stub after an abort", found: 1 });
        }
    }
    verdict(seen.finished, findings)
}

/// A reservation that does not start on a frame boundary: the ultravisor's own frames, which the host sees, cover its
/// first bytes, and the guest does not use them.
fn odd_reservation(context: &Context) -> Result<(), Failure> {
    const TOP: u64 = 512 << 20;
    // Below the two frames of the ESM blob, where RTAS's six would lie.
    let mut fixture = fixture(context, Firmware::Bios, TOP >> 20, "")?;
    if let Some(protection) = &mut fixture.protection {
        protection.reserve = vec![(TOP - 0x2_8123, 0x123)];
    }
    work(&mut fixture)?;
    let seen = watch(fixture)?;
    let mut findings = judge::end(&seen.finished, 0);
    findings.extend(judge::exposure(&seen.finished, true));
    findings.extend(judge::ultracalls(&seen.finished, &judge::SECURE_CALLS));
    let expected = [
        (TOP - 0x1_0000, 0x1_0000),
        (TOP - 0x2_0000, 0x1_0000),
        // TOP - 0x28123 - 0x60000, aligned up.
        (TOP - 0x8_0000, 0x6_0000),
        (TOP - 0xa_0000, 0x2_0000),
    ];
    if seen.esm()?.reservations != expected {
        findings.push(Finding::Order("ESM blob, RTAS, TSS from the top down"));
    }
    let memory = judge::memory(&seen.finished);
    let found = map::violations(&seen.finished.report, memory.bytes, &memory.shared.now, &memory.reserved);
    findings.extend(found.into_iter().map(Finding::Map));
    verdict(seen.finished, findings)
}

/// One frame of the pool's usual place is no memory of the VM: the pool goes elsewhere.
fn outside(context: &Context) -> Result<(), Failure> {
    let run = |faults: &str| -> Result<Finished, Failure> {
        let mut fixture = fixture(context, Firmware::Bios, 256, faults)?;
        work(&mut fixture)?;
        Ok(watch(fixture)?.finished)
    };
    let plain = run("")?;
    let base = plain.report.number("pool.base").filter(|base| base % FRAME_SIZE == 0);
    let hole = base.ok_or(Finding::NeverSaid("pool.base"))? + FRAME_SIZE;
    let finished = run(&format!("ram:outside={hole:#x}+{FRAME_SIZE:#x}"))?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::exposure(&finished, true));
    let pool = finished.report.number("pool.base").zip(finished.report.number("pool.bytes"));
    if pool.is_none_or(|(base, bytes)| (base..base + bytes).contains(&hole)) {
        findings.push(Finding::Order("the pool, and a frame that is not the VM's beside it"));
    }
    let violations = finished.ultravisor.iter().flat_map(|report| report.violations.clone());
    findings.extend(violations.map(Finding::Ultracall));
    verdict(finished, findings)
}

/// The second CPU has a server number that is too large for the ultravisor: starting that CPU would end the machine.
fn sparse(context: &Context) -> Result<(), Failure> {
    let mut fixture =
        Fixture::new(context, GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Vof, true, true) })?;
    fixture.machine.extra.extend(["-machine", "vsmt=8"].map(str::to_owned));
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-smp");
    let seen = watch(fixture)?;
    let mut findings = judge::end(&seen.finished, 0);
    findings.extend(judge::fact(&seen.finished, "cpu.online", "1"));
    findings.extend(judge::ultracalls(&seen.finished, &judge::SECURE_CALLS));
    if seen.esm()?.max_cpus != 2 {
        findings.push(Finding::Order("two CPUs, and a server number of 8"));
    }
    verdict(seen.finished, findings)
}

/// The host names a boot CPU that does not exist: this is noticed after H_SVM_INIT_DONE, so the abort fails, too.
fn boot_cpu(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    let seen = watch(fixture(context, firmware, 256, "esm:boot-cpu=1")?)?;
    let mut findings = judge::end(&seen.finished, NOT_SECURE);
    if seen.esm()?.outcome != Outcome::Aborted(Code::STATE) {
        findings.push(Finding::Secure { expected: false });
    }
    let name = "U_STATE";
    if !seen.finished.output.console.contains(name) {
        findings.push(Finding::NeverSaid(name));
    }
    verdict(seen.finished, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_time_is_not_compared_and_all_else_is() {
        let first = "[  0.1] mode: x\nblk0: SHA-256 ab (177 ms)\ncalls: 1 ultracalls, 5383 hcalls\n\
                     postern: tce0.map_us=7\npostern: pool.base=0x880000\n  interrupts  2 taken\n";
        let second = "[  9.1] mode: x\nblk0: SHA-256 ab (16 ms)\ncalls: 1 ultracalls, 5380 hcalls\n\
                      postern: tce0.map_us=8\npostern: pool.base=0x890000\n  interrupts  1 taken\n";
        let (first, second) = (said(first), said(second));
        assert_eq!(first, ["mode: x", "blk0: SHA-256 ab", "postern: pool.base=0x880000"]);
        assert_eq!(second[2], "postern: pool.base=0x890000");
        assert!(difference(&first, &first).is_none());
        assert!(difference(&first, &second).is_some());
        assert!(difference(&first, &first[..2]).is_some());
    }
}
