//! The negotiation with firmware (`ibm,client-architecture-support`): agreed, refused, or with a machine that has only
//! what the kernel does not drive. The matrix expects it to be agreed under both firmwares. The tests
//! `shape/...` have machines that restrict a CPU to a compatibility mode.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;

/// A machine, as QEMU's options, and the guest's result.
struct Offer {
    name: &'static str,
    firmware: Firmware,
    options: &'static [&'static str],
    cas: &'static str,
    interrupts: &'static str,
}

/// SLOF runs this before the kernel: it replaces the root's method of that name by one that returns an error.
const REFUSES: &str = "nvramrc=\" /\" find-device : ibm,client-architecture-support drop true ; device-end";

const OFFERS: [Offer; 3] = [
    Offer {
        name: "refused",
        firmware: Firmware::Slof,
        options: &["-prom-env", "use-nvramrc?=true", "-prom-env", REFUSES],
        cas: "refused",
        interrupts: "msi-x",
    },
    // A machine without XICS: firmware would end it if the kernel asked for XICS.
    Offer {
        name: "xive-only",
        firmware: Firmware::Vof,
        options: &["-machine", "ic-mode=xive"],
        cas: "agreed",
        interrupts: "poll",
    },
    Offer {
        name: "xics-only",
        firmware: Firmware::Vof,
        options: &["-machine", "ic-mode=xics"],
        cas: "agreed",
        interrupts: "msi-x",
    },
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |offer: &'static Offer| {
        Test::new(format!("negotiation/{}", offer.name), move |context| negotiates(context, offer))
    };
    OFFERS.iter().map(test).collect()
}

/// The work is done, whatever the result of the negotiation.
fn negotiates(context: &Context, offer: &Offer) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(offer.firmware, false, true))?;
    fixture.data_disk(1 << 20)?;
    fixture.machine.extra.extend(offer.options.iter().map(|word| (*word).to_owned()));
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings: Vec<Finding> = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "firmware.cas", offer.cas));
    findings.extend(judge::fact(&finished, "blk0.interrupts", offer.interrupts));
    verdict(finished, findings)
}
