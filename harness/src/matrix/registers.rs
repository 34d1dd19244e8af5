//! Registers at hypercalls, as the published ultravisor treats them: these tests find a guest that passes more than its
//! arguments, or relies on more than its results. QEMU stops at each hypercall, which is too slow for the whole matrix:
//! these are a sample of its combinations.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::strict::Breach;
use std::fs::File;

const DATA_BYTES: u64 = (1 << 20) + 512;
const SCRATCH_BYTES: u64 = 256 << 10;
/// Bytes of the DMA window. It is small because the guest reads every entry back.
const WINDOW: u64 = 2 << 20;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let configs = [
        ("vof/ap-on", GuestConfig::new(Firmware::Vof, true, true)),
        ("bios/ap-off", GuestConfig::new(Firmware::Bios, true, false)),
    ];
    let test = |(name, config)| {
        Test::new(format!("registers/{name}"), move |context: &Context| disciplined(context, config))
    };
    configs.into_iter().map(test).collect()
}

fn disciplined(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    case!("INJ-01", Ignore, Q);
    let mut fixture = Fixture::new(context, config)?;
    let seed = seed();
    let data = fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.machine.dma_window = Some(WINDOW);
    fixture.word(&format!("run=blk-digest,blk-pattern seed={seed} pool=1M"));
    if let Some(protection) = &mut fixture.protection {
        protection.registers = Some(seed);
    }
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    // QEMU's log has the random numbers in these registers; the ultravisor reports the guest's values.
    let logged = |finding: &Finding| !matches!(finding, Finding::Strict(Breach::Excess(_)));
    findings.extend(judge::exposure(&finished, config.access_platform).into_iter().filter(logged));
    findings.extend(judge::ultracalls(&finished, &judge::SECURE_CALLS));
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&data)?));
    match File::open(&scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch, error)),
    }
    if finished.ultravisor.as_ref().is_none_or(|report| report.disciplined == 0) {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}
