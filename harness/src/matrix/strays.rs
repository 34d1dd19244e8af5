//! CPUs that the hypervisor starts without a request, at the entry of the guest's own CPUs, with any number in r3: none
//! ever runs on another CPU's stack or on memory that is no stack.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::host::What::Record;
use postern_ultravisor::host::{H_RTAS, Rule, Subject};
use postern_ultravisor::inject::{Act, Attack, Stray, Trigger};
use std::fs::File;
use std::time::Duration;

const DATA_BYTES: u64 = 2 << 20;
const SCRATCH_BYTES: u64 = 2 << 20;
/// Where QEMU loads the image.
const IMAGE: u64 = 0x40_0000;
/// The boot CPU, two that the guest starts, and the stray one.
const CPUS: u32 = 4;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    [
        ("same", Stray::Same),
        ("earlier", Stray::Earlier),
        ("random", Stray::Random),
        ("image", Stray::Address(IMAGE)),
        ("zero", Stray::Address(0)),
    ]
    .into_iter()
    .map(|(name, stray)| Test::new(format!("stray/{name}"), move |context| started(context, stray)))
    .collect()
}

fn started(context: &Context, stray: Stray) -> Result<(), Failure> {
    case!("INJ-07", Ignore, Q);
    let config = GuestConfig { smp: CPUS, ..GuestConfig::new(Firmware::Bios, true, false) };
    let mut fixture = Fixture::new(context, config)?;
    let seed = seed();
    fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.word(&format!("run=blk-smp seed={seed}"));
    if let Some(protection) = &mut fixture.protection {
        let (trigger, gap) = (Trigger::at_esm(), Duration::from_millis(10));
        protection.attack = Some(Attack { seed, trigger, gap, act: Act::Stray(stray) });
        protection.host = vec![Rule::always(Subject::Hcall(H_RTAS), Record)];
    }
    let finished = fixture.start()?.finish(LIMIT);
    let Some(report) = &finished.ultravisor else { return Err(Finding::Secure { expected: true }.into()) };
    let mut findings: Vec<Finding> =
        report.attacked.weaknesses.iter().cloned().map(Finding::Weakness).collect();
    if report.attacked.entries == 0 {
        findings.push(Finding::Unnoticed);
    }
    findings.extend(judge::end(&finished, 0));
    match File::open(&scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch, error)),
    }
    findings.extend(judge::strict(&finished));
    verdict(finished, findings)
}
