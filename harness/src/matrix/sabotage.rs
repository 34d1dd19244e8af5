//! Shows that the observers' checks can fail: they must report an image that maps a page that it never shared, and one that
//! gives its devices private buffers.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::refusing::{Served, Violations, refusals, start};
use crate::matrix::runner::Test;
use crate::observe::exposure::Violation;
use crate::variable::Firmware;
use postern_adversary::ledger::Part;

/// Exit status: an address outside the pool.
const EXPOSED: u8 = 11;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = [Firmware::Slof, Firmware::Bios]
        .map(|firmware| {
            Test::new(format!("sabotage/{}/map-private", firmware.name()), move |context| {
                map_private(context, firmware)
            })
        })
        .into();
    tests.push(Test::new("sabotage/bios/skip-bounce", skip_bounce));
    tests
}

/// Every access of the devices to data is refused.
fn skip_bounce(context: &Context) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, false))?;
    fixture.machine.kernel = context.skip_bounce.clone();
    let data = fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let Served { session, servers, .. } = start(&mut fixture, Violations::default())?;
    let finished = session.finish(LIMIT);
    let accounts = servers.finish().map_err(Finding::Server)?;
    let mut findings = Vec::new();
    let refused = refusals(&accounts);
    let data_refused =
        |f: &Finding| matches!(f, Finding::Refused(_, refusal) if matches!(refusal.part, Part::Data { .. }));
    if !refused.iter().any(data_refused) {
        findings.push(Finding::Unnoticed);
    }
    let whole = digest(&data)?;
    if finished.report.fact("blk0.sha256") == Some(&*whole) {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}

fn map_private(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(firmware, true, true))?;
    fixture.machine.kernel = context.sabotage.clone();
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    // Otherwise the guest is the same: its work is correct. It finds the mapped page itself, too.
    let mut findings = judge::end(&finished, EXPOSED);
    let found = judge::exposure(&finished, true);
    if !found.iter().any(|finding| matches!(finding, Finding::Exposure(Violation::Reached(_)))) {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}
