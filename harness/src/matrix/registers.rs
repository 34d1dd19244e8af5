//! Registers at hypercalls, as the published ultravisor treats them: a guest that hands over more than its
//! arguments, or relies on more than its results, is found. Each hypercall is stopped at, which a whole matrix
//! has no time for: these are a sample of its cells.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, Scene, Shape, seed, verdict};
use crate::observe::strict::Breach;
use crate::pattern;
use crate::variable::Firmware;
use postern_cases::case;
use std::fs::File;

const DATA_BYTES: u64 = (1 << 20) + 512;
const SCRATCH_BYTES: u64 = 256 << 10;
/// The guest reads its whole window back, entry by entry.
const WINDOW: u64 = 2 << 20;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let shapes = [
        ("vof/ap-on", Shape::new(Firmware::Vof, true, true)),
        ("bios/ap-off", Shape::new(Firmware::Bios, true, false)),
    ];
    let test = |(name, shape)| {
        Test::new(format!("registers/{name}"), move |context: &Context| disciplined(context, shape))
    };
    shapes.into_iter().map(test).collect()
}

fn disciplined(context: &Context, shape: Shape) -> Result<(), Failure> {
    case!("INJ-01", Ignore, Q);
    let mut scene = Scene::new(context, shape)?;
    let seed = seed();
    let data = scene.data_disk(DATA_BYTES)?;
    let scratch = scene.scratch_disk(SCRATCH_BYTES)?;
    scene.machine.dma_window = Some(WINDOW);
    scene.word(&format!("run=blk-digest,blk-pattern seed={seed} pool=1M"));
    if let Some(protection) = &mut scene.protection {
        protection.registers = Some(seed);
    }
    let finished = scene.boot()?;
    let mut findings = judge::end(&finished, 0);
    // QEMU's log has the random numbers in it; what the guest left there is the ultravisor's to find.
    let logged = |finding: &Finding| !matches!(finding, Finding::Strict(Breach::Excess(_)));
    findings.extend(judge::exposure(&finished, shape.access_platform).into_iter().filter(logged));
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
