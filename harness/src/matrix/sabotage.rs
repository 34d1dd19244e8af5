//! The observers can fail: an image that maps one page it never shared must be found out.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, Scene, Shape, verdict};
use crate::observe::exposure::Violation;
use crate::variable::Firmware;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    [Firmware::Slof, Firmware::Bios]
        .map(|firmware| {
            Test::new(format!("sabotage/{}/map-private", firmware.name()), move |context| {
                map_private(context, firmware)
            })
        })
        .into()
}

fn map_private(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    let mut scene = Scene::new(context, Shape::new(firmware, true, true))?;
    scene.machine.kernel = context.sabotage.clone();
    scene.data_disk(1 << 20)?;
    scene.word("run=blk-digest");
    let finished = scene.boot()?;
    // In all else it is the same guest: it works, and what it works on is right.
    let mut findings = judge::end(&finished, 0);
    let found = judge::exposure(&finished, true);
    if !found.iter().any(|finding| matches!(finding, Finding::Exposure(Violation::Reached(_)))) {
        findings.push(Finding::Unnoticed);
    }
    verdict(finished, findings)
}
