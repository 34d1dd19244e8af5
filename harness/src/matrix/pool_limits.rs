//! The largest pool behind a host bridge without dynamic windows: its default window without the first page, in whole
//! frames. For devices that can only use that window, a pool with one frame more is an error that names this size.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;

/// Bytes of the window.
const WINDOW: u64 = 4 << 20;
/// Exit status: a device is missing or failed.
const REFUSED: u8 = 6;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for firmware in [Firmware::Vof, Firmware::Slof] {
        let cases = [
            ("most", true, false, "4032K", 0),
            ("more", true, false, "4M", REFUSED),
            // The guest makes a window that is large enough.
            ("dynamic", true, true, "4M", 0),
            // Guest addresses need no window.
            ("ap-off", false, false, "8M", 0),
        ];
        for (name, translated, dynamic, pool, status) in cases {
            let config =
                GuestConfig { dynamic_windows: dynamic, ..GuestConfig::new(firmware, true, translated) };
            let name = format!("pool-limits/{}/{name}", firmware.name());
            tests.push(Test::new(name, move |context| limit(context, config, pool, status)));
        }
    }
    tests
}

fn limit(context: &Context, config: GuestConfig, pool: &str, status: u8) -> Result<(), Failure> {
    const SAYS: &str = "the largest that it has room for is pool=4032K";
    let mut fixture = Fixture::new(context, config)?;
    fixture.machine.dma_window = Some(WINDOW);
    let expected = digest(&fixture.data_disk(1 << 20)?)?;
    fixture.word(&format!("pool={pool} run=blk-digest"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, status);
    if status == 0 {
        findings.extend(judge::fact(&finished, "blk0.sha256", &expected));
    } else if !finished.output.console.contains(SAYS) {
        findings.push(Finding::NeverSaid(SAYS));
    }
    verdict(finished, findings)
}
