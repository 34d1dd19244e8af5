//! The negotiation with firmware (`ibm,client-architecture-support`): agreed, refused, or with a machine that has only
//! what the kernel does not drive. The matrix expects it to be agreed under both firmwares.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;

/// A machine, as `-machine` options say it, and what the guest makes of it.
struct Offer {
    name: &'static str,
    machine: &'static str,
    cas: &'static str,
    interrupts: &'static str,
}

const OFFERS: [Offer; 3] = [
    // A processor held to a compatibility mode that the kernel does not ask for: the method answers an error.
    Offer { name: "refused", machine: "max-cpu-compat=power9", cas: "refused", interrupts: "msi-x" },
    // Without XICS, to ask for it would end the machine.
    Offer { name: "xive-only", machine: "ic-mode=xive", cas: "agreed", interrupts: "poll" },
    Offer { name: "xics-only", machine: "ic-mode=xics", cas: "agreed", interrupts: "msi-x" },
];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |offer: &'static Offer| {
        Test::new(format!("negotiation/{}", offer.name), move |context| negotiates(context, offer))
    };
    OFFERS.iter().map(test).collect()
}

/// Whatever comes of it, the work is done.
fn negotiates(context: &Context, offer: &Offer) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    fixture.data_disk(1 << 20)?;
    fixture.machine.extra.extend(["-machine", offer.machine].map(str::to_owned));
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings: Vec<Finding> = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "firmware.cas", offer.cas));
    findings.extend(judge::fact(&finished, "blk0.interrupts", offer.interrupts));
    verdict(finished, findings)
}
