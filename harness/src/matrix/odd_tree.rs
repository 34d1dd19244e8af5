//! Valid trees that no machine of QEMU's has: the guest works, or names the unsupported part.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::doctor::Edit;
use postern_ultravisor::host::What::{Record, Result as Changed};
use postern_ultravisor::host::{Rule, Subject, Value};

/// MiB of a guest whose memory goes beyond 4 GiB.
const LARGE: u64 = 6 << 10;
/// An address beyond 4 GiB.
const HIGH: u64 = 5 << 30;
/// CPU nodes: more than the kernel or any ultravisor supports.
const MANY: u32 = 10_000;

/// CPU nodes: as many as fit into a tree.
const MANY_THAT_FIT: u32 = 5_000;
/// Exit status: bad device tree.
const BAD_TREE: u8 = 2;

/// How the run ends.
#[derive(Clone, Copy)]
enum Ends {
    /// With the work done, on this number of CPUs.
    Done(&'static str),
    /// With status 2 and this text.
    Names(&'static str),
}

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("DT-23", Work, Q);
    let _ = case!("DT-24", Halt, Q);
    let _ = case!("DT-25", Work, Q);
    let _ = case!("DT-26", Ignore, Q);
    let _ = case!("DT-27", Work, Q);
    let mut tests = Vec::new();
    for secure in [true, false] {
        let mut add = |name: &str, smp: u32, ends: Ends, edits: fn() -> Vec<Edit>| {
            let mode = if secure { "secure" } else { "normal" };
            tests.push(Test::new(format!("odd-tree/{name}/{mode}"), move |context| {
                odd(context, smp, secure, &edits(), ends)
            }));
        };
        add("above-4-gib", 1, Ends::Done("1"), || vec![Edit::Move(HIGH)]);
        add("loop-of-interrupts", 1, Ends::Done("1"), || vec![Edit::LoopOfInterrupts]);
        add("disabled-bridge", 1, Ends::Done("1"), || disabled("pci@"));
        add("disabled-cpu", 2, Ends::Done("2"), || disabled("PowerPC,POWER9@1"));
        add("other-boot-cpu", 2, Ends::Done("1"), || vec![Edit::BootCpu(1)]);
        add("many-cpus", 1, Ends::Names("more than 8192 nodes"), || vec![Edit::Cpus(MANY)]);
    }
    for secure in [true, false] {
        let mode = if secure { "secure" } else { "normal" };
        tests.push(Test::new(format!("odd-tree/many-cpus-that-fit/{mode}"), move |context| {
            odd(context, 1, secure, &[Edit::Cpus(MANY_THAT_FIT)], Ends::Done("1"))
        }));
    }
    tests.push(Test::new("odd-tree/one-source-for-two", one_source));
    tests
}

fn disabled(prefix: &'static str) -> Vec<Edit> {
    vec![Edit::Inside(prefix, vec![("status", b"disabled\0".to_vec())])]
}

fn odd(context: &Context, smp: u32, secure: bool, edits: &[Edit], ends: Ends) -> Result<(), Failure> {
    let is_high = edits.iter().any(|edit| matches!(edit, Edit::Move(_)));
    let mebibytes = if is_high { LARGE } else { 512 };
    let mut fixture = Fixture::new(
        context,
        GuestConfig { smp, mebibytes, ..GuestConfig::new(Firmware::Bios, true, false) },
    )?;
    if is_high {
        // QEMU starts a CPU in 32-bit mode, in which r3 cannot have such an address.
        fixture.machine.rom = fixture.dir.path("rom");
        let written = std::fs::write(&fixture.machine.rom, wide_rom());
        written.map_err(|error| Finding::File(fixture.machine.rom.clone(), error))?;
    }
    let data = fixture.data_disk(1 << 20)?;
    if !secure {
        fixture.word("svm=off");
    }
    fixture.word("run=blk-digest");
    if let Some(protection) = &mut fixture.protection {
        protection.edits = edits.to_vec();
    }
    let finished = fixture.boot()?;
    let mut findings = Vec::new();
    match ends {
        Ends::Done(cpus) => {
            findings.extend(judge::end(&finished, 0));
            findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
            findings.extend(judge::fact(&finished, "cpu.online", cpus));
            let esm = finished.ultravisor.iter().flat_map(|report| &report.esm);
            let unmet = esm.filter(|esm| !esm.unmet.is_empty());
            findings.extend(unmet.map(|esm| Finding::Requirements(esm.unmet.clone())));
            let said = format!("postern: fdt.addr={HIGH:#x}\r\n");
            if is_high && !finished.output.console.contains(&said) {
                findings.push(Finding::NeverSaid("a tree above 4 GiB"));
            }
        }
        Ends::Names(said) => {
            findings.extend(judge::end(&finished, BAD_TREE));
            findings.extend((!finished.output.console.contains(said)).then_some(Finding::NeverSaid(said)));
        }
    }
    verdict(finished, findings)
}

/// Enters the image in 64-bit mode. QEMU starts it at 0x100, with the tree in r3.
fn wide_rom() -> Vec<u8> {
    const CODE: [u32; 8] = [
        0x7d60_00a6, // mfmsr r11
        0x3980_0001, // li r12, 1
        0x798c_f806, // sldi r12, r12, 63
        0x7d6b_6378, // or r11, r11, r12
        0x3d40_0040, // lis r10, 0x40
        0x7d5a_03a6, // mtsrr0 r10
        0x7d7b_03a6, // mtsrr1 r11
        0x4c00_0024, // rfid
    ];
    let mut rom = vec![0; 0x100];
    rom.extend(CODE.iter().flat_map(|word| word.to_be_bytes()));
    rom
}

/// Both disks get the MSI source of the first: each interrupt serves both.
fn one_source(context: &Context) -> Result<(), Failure> {
    case!("IRQ-12", Work, Q);
    const QUERY: Subject = Subject::Rtas("ibm,query-interrupt-source-number");
    let run = |rule: Rule| -> Result<(Finished, Vec<Finding>), Failure> {
        let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, false))?;
        let data = fixture.data_disk(1 << 20)?;
        fixture.scratch_disk(1 << 20)?;
        fixture.word("run=blk-digest,blk-pattern");
        if let Some(protection) = &mut fixture.protection {
            protection.host = vec![rule];
        }
        let finished = fixture.boot()?;
        let mut findings = judge::end(&finished, 0);
        findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
        findings.extend(judge::exposure(&finished, false));
        Ok((finished, findings))
    };
    let (finished, findings) = run(Rule::always(QUERY, Record))?;
    let sources: Vec<u64> =
        finished.ultravisor.iter().flat_map(|report| &report.host).map(|seen| seen.value).collect();
    if !findings.is_empty() {
        return verdict(finished, findings);
    }
    let Some(first) = sources.first().filter(|first| sources.iter().any(|source| source != *first)) else {
        return Err(Finding::Unnoticed.into());
    };
    let (finished, findings) = run(Rule::always(QUERY, Changed(Value::Is(*first))))?;
    verdict(finished, findings)
}
