//! Shows that strict mode finds breaches in real logs.
//!
//! The boot tests check all secure guests by its rules ([`judge::exposure`]).

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_ultravisor::strict::{Breach, part_breaches};

/// Firmware's calls (`include/hw/ppc/spapr.h`).
const H_CAS: u64 = 0xf002;
const H_UPDATE_DT: u64 = 0xf003;
const H_VOF_CLIENT: u64 = 0xf005;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = [Firmware::Slof, Firmware::Vof]
        .map(|firmware| {
            let name = format!("strict/{}/firmware-calls-are-found", firmware.name());
            Test::new(name, move |context| firmware_calls(context, firmware))
        })
        .into();
    tests.push(Test::new("strict/bios/code-in-the-pool-is-found", |context| {
        secure_run(&context.on_test_image(), Firmware::Bios, "run=breach-pool-execute", |finished| {
            let found = judge::strict(finished);
            let expected = |f: &Finding| matches!(f, Finding::Strict(Breach::ExecutesShared(_)));
            found.len() == 1 && found.iter().all(expected)
        })
    }));
    tests
}

/// Firmware's calls are legal before UV_ESM, and breaches after it.
fn firmware_calls(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    let calls: &[u64] = match firmware {
        // SLOF calls H_CAS for the kernel's negotiation, and H_UPDATE_DT at quiesce.
        Firmware::Slof => &[H_CAS, H_UPDATE_DT],
        Firmware::Vof | Firmware::Bios => &[H_VOF_CLIENT],
    };
    secure_run(context, firmware, "run=map", |finished| {
        let found = part_breaches(&finished.requests.before, &judge::memory(finished));
        let made =
            |number| found.iter().any(|b| matches!(b, Breach::Firmware(call) if call.number == number));
        judge::strict(finished).is_empty() && calls.iter().all(|&number| made(number))
    })
}

fn secure_run(
    context: &Context,
    firmware: Firmware,
    word: &str,
    noticed: impl Fn(&Finished) -> bool,
) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(firmware, true, true))?;
    fixture.word(word);
    let finished = fixture.boot()?;
    let mut findings = Vec::new();
    if !noticed(&finished) {
        findings.push(Finding::Unnoticed);
        findings.extend(judge::strict(&finished));
    }
    verdict(finished, findings)
}
