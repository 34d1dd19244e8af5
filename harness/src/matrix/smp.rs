//! Several CPUs use one disk when it fails: each of them notices, the device is reset once, and all else goes on.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern;
use crate::session::Finished;
use crate::variable::Firmware;
use postern_cases::case;
use std::collections::BTreeSet;
use std::fs::File;

/// Exit status: a device failed.
const DEVICE_FAILED: u8 = 6;
/// A disk that answers long after the guest's time limit of one second.
const SILENT: &str = "if=none,id=silent,driver=null-co,size=16M,read-zeroes=on,latency-ns=1600000000";
const SCRATCH_BYTES: u64 = (2 << 20) + 512;
/// End of the driver's message when it gives a device up.
const GIVEN_UP: &str = ": broken: no answer in time";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let configs = [
        ("secure", GuestConfig { smp: 4, ..GuestConfig::new(Firmware::Bios, true, true) }),
        ("normal", GuestConfig { smp: 2, ..GuestConfig::new(Firmware::Vof, false, false) }),
    ];
    let test = |(mode, config): (_, GuestConfig)| {
        Test::new(format!("cpus/{}/{mode}/silent-disk", config.smp), move |context| silent(context, config))
    };
    configs.into_iter().map(test).collect()
}

fn silent(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    case!("MQ-04", Break, Q);
    let mut fixture = Fixture::new(context, config)?;
    let seed = seed();
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    let on = if config.access_platform { "on" } else { "off" };
    let device = format!("virtio-blk-pci,drive=silent,serial=silent,disable-legacy=on,iommu_platform={on}");
    fixture.machine.extra.extend(["-drive", SILENT, "-device", &device].map(str::to_owned));
    fixture.word(&format!("run=blk-smp device-timeout=1 seed={seed}"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, DEVICE_FAILED);
    findings.extend(given_up_once(&finished));
    match File::open(&scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch, error)),
    }
    if config.secure {
        findings.extend(judge::exposure(&finished, config.access_platform));
    }
    verdict(finished, findings)
}

/// Checks that only one CPU gave the device up and reset it.
fn given_up_once(finished: &Finished) -> Option<Finding> {
    // After a failure the log is printed a second time; each line has its time, so copies are equal.
    let lines = finished.output.console.lines().map(str::trim_end).filter(|line| line.ends_with(GIVEN_UP));
    let times = lines.collect::<BTreeSet<_>>().len();
    (times != 1).then(|| Finding::Fact {
        key: "devices given up",
        expected: "1".to_owned(),
        found: Some(times.to_string()),
    })
}
