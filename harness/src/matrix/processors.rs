//! CPUs and modes that the kernel does not support: the guest names each and ends with status 12, in code that this CPU can
//! run. On newer CPUs the guest does all the work.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::malformed_tree::{Damage, handed_over};
use crate::matrix::runner::Test;
use crate::variable::Firmware;
use std::process::Command;

/// Exit status: the platform lacks what the kernel needs.
const REFUSED: u8 = 12;

/// A CPU, as QEMU's options, and the guest's message.
struct Processor {
    name: &'static str,
    options: &'static [&'static str],
    said: &'static str,
}

const POWER8: &str = "boot: CPU POWER8 (PVR 0x004d0200): wanted POWER9 or later, with radix translation";

/// Tried with each firmware.
const USUAL: [Processor; 4] = [
    Processor { name: "power8", options: &["-cpu", "power8"], said: POWER8 },
    // POWER8 is the default CPU of this machine and of older ones.
    Processor { name: "pseries-3.0", options: &["-machine", "pseries-3.0", "-cpu", "power8"], said: POWER8 },
    Processor { name: "power7", options: &["-cpu", "power7"], said: "boot: CPU POWER7 (PVR 0x003f" },
    Processor {
        name: "power9-as-power8",
        options: &["-machine", "max-cpu-compat=power8"],
        said: ", held to POWER8 (cpu-version 0x0f000004)): wanted POWER9 or later, with radix translation",
    },
];

/// The others that QEMU has; the last two have no little-endian mode.
const RARE: [Processor; 6] = [
    Processor { name: "power7+", options: &["-cpu", "power7+"], said: "boot: CPU POWER7+ (PVR 0x004a" },
    Processor { name: "power8e", options: &["-cpu", "power8e"], said: "boot: CPU POWER8E (PVR 0x004b" },
    Processor { name: "power8nvl", options: &["-cpu", "power8nvl"], said: "boot: CPU POWER8NVL (PVR 0x004c" },
    Processor {
        name: "power9-as-power7",
        options: &["-machine", "max-cpu-compat=power7"],
        said: ", held to POWER7 (cpu-version 0x0f000003)): wanted POWER9 or later, with radix translation",
    },
    Processor { name: "970", options: &["-cpu", "970"], said: "boot: CPU 970 (PVR 0x0039" },
    Processor { name: "power5+", options: &["-cpu", "power5+"], said: "boot: CPU POWER5+ (PVR 0x003b" },
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |processor: &'static Processor, firmware: Firmware| {
        let name = format!("processor/{}/{}", processor.name, firmware.name());
        Test::new(name, move |context| refused(context, processor, firmware, None))
    };
    let usual = USUAL.iter().flat_map(|processor| Firmware::ALL.map(|firmware| test(processor, firmware)));
    let mut tests: Vec<Test> = usual.collect();
    tests.extend(RARE.iter().map(|processor| test(processor, Firmware::Vof)));
    tests.push(Test::new("processor/power8/little-endian", |context| {
        refused(context, &USUAL[0], Firmware::Bios, Some(&little_endian_rom()))
    }));
    tests.push(Test::new("processor/no-radix", no_radix));
    tests.push(Test::new("processor/old-machines", old_machines));
    tests.push(Test::new("processor/newest", newest));
    tests
}

fn refused(
    context: &Context,
    processor: &Processor,
    firmware: Firmware,
    rom: Option<&[u8]>,
) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(firmware, false, true))?;
    if let Some(bytes) = rom {
        fixture.machine.rom = fixture.dir.path("rom");
        let written = std::fs::write(&fixture.machine.rom, bytes);
        written.map_err(|error| Finding::File(fixture.machine.rom.clone(), error))?;
    }
    fixture.machine.extra.extend(processor.options.iter().map(|word| (*word).to_owned()));
    judged(fixture, processor.said)
}

/// Boots the guest and checks its message and its end.
fn judged(mut fixture: Fixture, said: &'static str) -> Result<(), Failure> {
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, REFUSED);
    if !finished.output.console.contains(said) {
        findings.push(Finding::NeverSaid(said));
    }
    verdict(finished, findings)
}

/// Enters the image in little-endian mode, as a kexec-style loader may. QEMU starts it at 0x100, with the tree in r3.
fn little_endian_rom() -> Vec<u8> {
    const CODE: [u32; 6] = [
        0x7d60_00a6, // mfmsr r11
        0x616c_0001, // ori r12, r11, MSR[LE]
        0x3d40_0040, // lis r10, 0x40
        0x7d5a_03a6, // mtsrr0 r10
        0x7d9b_03a6, // mtsrr1 r12
        0x4c00_0024, // rfid
    ];
    let mut rom = vec![0; 0x100];
    rom.extend(CODE.iter().flat_map(|word| word.to_be_bytes()));
    rom
}

/// A tree that offers only hash translation to a POWER9, without firmware.
fn no_radix(context: &Context) -> Result<(), Failure> {
    const SAID: &str = "boot: no radix translation on this CPU (PVR 0x004e";
    let hash = Damage::Replace(&[0x18, 0xc0, 0x19, 0, 0x1a], &[0x18, 0, 0x19, 0, 0x1a]);
    let finished = handed_over(context, &[hash], |_| Ok(()))?;
    let mut findings = judge::end(&finished, REFUSED);
    if !finished.output.console.contains(SAID) {
        findings.push(Finding::NeverSaid(SAID));
    }
    verdict(finished, findings)
}

/// Every machine of this QEMU whose default CPU is POWER8: 3.0 and older, of which newer QEMUs have fewer.
fn old_machines(context: &Context) -> Result<(), Failure> {
    let listed = listed(context, "-machine")?;
    let is_old = |name: &&str| {
        let version = name.strip_prefix("pseries-").and_then(|version| version.split_once('.'));
        matches!(version, Some(("2", _) | ("3", "0")))
    };
    let machines: Vec<&str> = listed.split_whitespace().filter(is_old).collect();
    if machines.is_empty() {
        return Err(Finding::NeverSaid("pseries-3.0").into());
    }
    for machine in machines {
        let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
        // The oldest have transactional memory on by default, which TCG lacks.
        let machine = format!("{machine},cap-htm=off");
        fixture.machine.extra.extend(["-machine", &machine, "-cpu", "power8"].map(str::to_owned));
        judged(fixture, POWER8)?;
    }
    Ok(())
}

/// The list of QEMU's `help` for an option.
fn listed(context: &Context, option: &str) -> Result<String, Failure> {
    let output = Command::new(&context.qemu).args([option, "help"]).output();
    let output = output.map_err(|error| Finding::File(context.qemu.clone(), error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The newest CPU of this QEMU: firmware accepts the kernel's request, and the work is done.
fn newest(context: &Context) -> Result<(), Failure> {
    let listed = listed(context, "-cpu")?;
    let has = |name: &str| listed.split_whitespace().any(|word| word == name);
    let name = if has("power11") { "power11" } else { "power10" };
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    fixture.machine.extra.extend(["-cpu", name].map(str::to_owned));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "firmware.cas", "agreed"));
    verdict(finished, findings)
}
