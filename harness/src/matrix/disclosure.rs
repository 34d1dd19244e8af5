//! Everything that a secure guest writes on its console, in several jobs and in a crash of the host's choice: each line
//! is one of the list in `docs/threat-model.md`, and nothing private is in it.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::observe::console::{self, Machine};
use crate::pattern::splitmix64;
use crate::session::Finished;
use crate::variable::{Firmware, Net};
use postern_cases::case;
use postern_ultravisor::image::KernelImage;
use postern_ultravisor::inject::{Act, Attack, Interrupts, Trigger};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// Bytes of the disk whose content must not be shown.
const DATA_BYTES: u64 = 1 << 20;
/// The same for a test with a reset in the middle of the work on it.
const LONG_BYTES: u64 = 16 << 20;
const SCRATCH_BYTES: u64 = 1 << 20;
const SYSTEM_RESET: u64 = 0x100;
/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// Number of a canary's words with which registers are filled.
const CANARY: u64 = 512;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = Firmware::ALL
        .map(|firmware| {
            Test::new(format!("console/{}", firmware.name()), move |context| works(context, firmware))
        })
        .into();
    tests.push(Test::new("console/crash", crash));
    tests
}

/// A guest on two CPUs that does all kinds of work.
pub(super) fn works(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    case!("OUT-09", Work, Q);
    let mut fixture =
        Fixture::new(context, GuestConfig { smp: 2, ..GuestConfig::new(firmware, true, true) })?;
    let data = fixture.data_disk(DATA_BYTES)?;
    fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.machine.net = Net::User;
    let seed = seed();
    fixture.word(&format!("run=demo,blk-digest,blk-pattern,blk-smp seed={seed}"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(shown(context, &finished, &data, seed)?);
    verdict(finished, findings)
}

/// A system reset while a guest works on its disk and every register holds a secret.
fn crash(context: &Context) -> Result<(), Failure> {
    case!("OUT-09", Halt, Q);
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, false))?;
    let data = fixture.data_disk(LONG_BYTES)?;
    fixture.word("run=blk-digest");
    let (seed, trigger) = (seed(), Trigger::later());
    if let Some(protection) = &mut fixture.protection {
        let interrupts = Interrupts { slots: vec![SYSTEM_RESET], count: 1, nested: None, secret: Some(seed) };
        let (trigger, gap) = (trigger.clone(), Duration::from_millis(100));
        protection.attack = Some(Attack { seed, trigger, gap, act: Act::Interrupt(interrupts) });
    }
    let session = fixture.start()?;
    drop(session.qemu.console().wait_for(LIMIT, |line| line.contains("blk0: virtio-blk")));
    trigger.pull();
    let finished = session.finish(LIMIT);
    let mut findings = judge::end(&finished, EXCEPTION);
    if finished.ultravisor.as_ref().is_none_or(|report| report.attacked.moments.is_empty()) {
        findings.push(Finding::Unnoticed);
    }
    findings.extend(shown(context, &finished, &data, seed)?);
    verdict(finished, findings)
}

/// Forbidden content of the console: bytes of the disk, words of this seed's canary, addresses, other lines.
pub(super) fn shown(
    context: &Context,
    finished: &Finished,
    data: &Path,
    seed: u64,
) -> Result<Vec<Finding>, Failure> {
    let bytes = std::fs::read(data).map_err(|error| Finding::File(data.to_path_buf(), error))?;
    let canary = (0..CANARY).map(|n| splitmix64(seed.wrapping_add(n)));
    let secret: HashSet<u64> = console::words(&bytes).chain(canary).filter(|word| *word != 0).collect();
    let span = KernelImage::load(&context.kernel).map_err(|_| Finding::NeverSaid("an image"))?.span();
    // If the guest crashed before its report, the ultravisor knows its pool.
    let shared = finished.shared().ever;
    let pool = shared.first().map_or(0, |run| run.start << 16)..shared.last().map_or(0, |run| run.end << 16);
    let esm = finished.ultravisor.iter().flat_map(|report| &report.esm).next();
    let (base, tree) = esm.map_or((0, 0), |esm| (esm.kernel_base, esm.fdt));
    let image = base..base + span;
    let machine = Machine { memory: finished.memory, image, tree, pool, secret };
    let found = console::violations(&finished.output.console, &machine);
    Ok(found.into_iter().map(Finding::Console).collect())
}
