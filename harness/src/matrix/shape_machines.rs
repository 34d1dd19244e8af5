//! Every machine version, capability and compatibility mode of this QEMU: the work is done, or QEMU refuses the machine
//! with a message. The lists come from QEMU, so that they are complete.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::qemu::process::Ended;
use crate::session::Finished;
use crate::variable::Firmware;
use std::process::Command;

/// Bytes of the disk that is read.
const BYTES: u64 = 1 << 20;
/// Least length of a list of QEMU's: a shorter one was not read correctly.
const FEWEST: usize = 10;
/// The newest machine whose virtio devices are legacy ones by default.
const LEGACY: (u32, u32) = (2, 6);

/// Capabilities that TCG lacks, and QEMU's message.
const REFUSED: [(&str, &str); 3] = [
    ("cap-htm=on", "No Transactional Memory support in TCG"),
    ("cap-rpt-invalidate=on", "No H_RPT_INVALIDATE support in TCG"),
    ("cap-dawr1=on", "DAWR1 supported only on POWER10"),
];
/// Capabilities for which the guest's output differs, and that output.
const SAID: [(&str, &str, &str); 2] =
    [("cap-fwnmi=off", "nmi.handlers", "vectors"), ("cap-vsx=off", "cpu.vectors", "0")];
const USUAL: [(&str, &str); 2] = [("nmi.handlers", "registered"), ("cpu.vectors", "1")];
/// Values of `cap-hpt-max-page-size`: QEMU's help only says that it is a number.
const PAGE_SIZES: [&str; 4] = ["4k", "64k", "16M", "16G"];

/// CPUs, and the compatibility modes of each.
const MODES: [(&str, &str); 4] =
    [("power9", "power9"), ("power10", "power9"), ("power10", "power10"), ("power11", "power11")];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("shape/machine-versions", versions),
        Test::new("shape/capabilities", capabilities),
        Test::new("shape/processor-modes", modes),
    ]
}

/// QEMU's output for these arguments.
fn asked(context: &Context, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(&context.qemu).args(arguments).output();
    let output = output.map_err(|error| Finding::File(context.qemu.clone(), error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a guest with these options that reads a disk; returns the findings of its end.
pub(super) fn reads(context: &Context, options: &[&str]) -> Result<(Finished, Vec<Finding>), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    let data = fixture.data_disk(BYTES)?;
    fixture.machine.extra.extend(options.iter().map(|word| (*word).to_owned()));
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
    Ok((finished, findings))
}

/// A failure that names the shape, if there are findings.
pub(super) fn named(shape: &str, finished: Finished, mut findings: Vec<Finding>) -> Result<(), Failure> {
    if !findings.is_empty() {
        findings.insert(0, Finding::Configuration(shape.to_owned()));
    }
    verdict(finished, findings)
}

fn enough(list: &[String], what: &'static str) -> Result<(), Failure> {
    let found = list.len();
    if found >= FEWEST {
        Ok(())
    } else {
        Err(Finding::TooFew { what, least: FEWEST as u64, found: found as u64 }.into())
    }
}

fn versions(context: &Context) -> Result<(), Failure> {
    let listed = asked(context, &["-machine", "help"])?;
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let machines: Vec<String> = names.filter(|name| name.starts_with("pseries")).map(str::to_owned).collect();
    enough(&machines, "machines of QEMU's list")?;
    for machine in machines {
        // The oldest have transactional memory on by default, which TCG lacks.
        let name = format!("{machine},cap-htm=off");
        let mut options = vec!["-machine", &name];
        if version(&machine).is_some_and(|version| version <= LEGACY) {
            let modern =
                ["-global", "virtio-pci.disable-modern=off", "-global", "virtio-blk-device.scsi=off"];
            options.extend(modern);
        }
        let (finished, mut findings) = reads(context, &options)?;
        findings.extend(judge::fact(&finished, "firmware.cas", "agreed"));
        named(&machine, finished, findings)?;
    }
    Ok(())
}

/// The version of a machine's name such as `pseries-2.12-sxxm`; `None` for the alias `pseries`.
fn version(machine: &str) -> Option<(u32, u32)> {
    let (major, minor) = machine.strip_prefix("pseries-")?.split_once('.')?;
    let digits = minor.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, digits.parse().ok()?))
}

fn capabilities(context: &Context) -> Result<(), Failure> {
    let listed = asked(context, &["-machine", "pseries,help"])?;
    let all: Vec<String> = listed.lines().flat_map(values).collect();
    enough(&all, "capabilities of QEMU's list")?;
    for capability in all {
        let machine = format!("pseries,{capability}");
        let (finished, mut findings) = reads(context, &["-machine", &machine])?;
        let refused = REFUSED.iter().find(|(name, _)| *name == capability);
        if refused.is_some_and(|(_, words)| is_refused(&finished, words)) {
            continue;
        }
        for (key, usual) in USUAL {
            let other = SAID.iter().find(|(name, of, _)| *name == capability && *of == key);
            findings.extend(judge::fact(&finished, key, other.map_or(usual, |(_, _, said)| said)));
        }
        named(&capability, finished, findings)?;
    }
    Ok(())
}

/// Each value of the capability in a line of QEMU's help, such as
/// `  cap-cfpc=<string> - ... (broken, workaround, fixed)`.
fn values(line: &str) -> Vec<String> {
    let Some((name, rest)) = line.trim().split_once("=<") else { return Vec::new() };
    if !name.starts_with("cap-") {
        return Vec::new();
    }
    let values: Vec<&str> = if rest.starts_with("bool") {
        vec!["on", "off"]
    } else if name == "cap-hpt-max-page-size" {
        PAGE_SIZES.to_vec()
    } else {
        let list = rest.rsplit_once('(').and_then(|(_, list)| list.split_once(')')).map(|(list, _)| list);
        list.into_iter().flat_map(|list| list.split(',').map(str::trim)).collect()
    };
    values.into_iter().map(|value| format!("{name}={value}")).collect()
}

/// Whether QEMU ended with these words before the guest began.
pub(super) fn is_refused(finished: &Finished, words: &str) -> bool {
    finished.ended == Ended::Exited(1)
        && finished.output.errors.contains(words)
        && finished.report.facts().next().is_none()
}

/// Firmware and kernel agree on the compatibility mode that QEMU sets for a CPU.
fn modes(context: &Context) -> Result<(), Failure> {
    let listed = asked(context, &["-cpu", "help"])?;
    let has = |name: &str| listed.split_whitespace().any(|word| word == name);
    for (cpu, mode) in MODES.into_iter().filter(|(cpu, _)| has(cpu)) {
        let machine = format!("pseries,max-cpu-compat={mode}");
        let (finished, mut findings) = reads(context, &["-machine", &machine, "-cpu", cpu])?;
        findings.extend(judge::fact(&finished, "firmware.cas", "agreed"));
        named(&format!("{cpu} as {mode}"), finished, findings)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        assert_eq!(version("pseries-2.12-sxxm"), Some((2, 12)));
        assert_eq!(version("pseries-10.0"), Some((10, 0)));
        assert_eq!(version("pseries"), None);
    }

    #[test]
    fn each_value_of_a_capability_is_tried() {
        let line = "  cap-cfpc=<string>      - Cache Flush on Privilege Change (broken, workaround, fixed)";
        assert_eq!(values(line), ["cap-cfpc=broken", "cap-cfpc=workaround", "cap-cfpc=fixed"]);
        assert_eq!(values("  cap-htm=<bool>  - Allow it (HTM)"), ["cap-htm=on", "cap-htm=off"]);
        assert_eq!(values("  cap-hpt-max-page-size=<int> - x").len(), PAGE_SIZES.len());
        assert!(values("  usb=<bool>  - Set on/off to enable/disable usb").is_empty());
    }
}
