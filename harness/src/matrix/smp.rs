//! Several CPUs at one disk when it fails: each of them notices, the device is reset once, and nothing else suffers.

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
/// A disk that takes requests and answers long after the guest's patience of a second has ended.
const SILENT: &str = "if=none,id=silent,driver=null-co,size=16M,read-zeroes=on,latency-ns=1600000000";
const SCRATCH_BYTES: u64 = (2 << 20) + 512;
/// What the driver says when it gives a device up, whichever CPU was first.
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
    fixture.word(&format!("run=blk-smp patience=1 seed={seed}"));
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

/// One CPU gave the device up and reset it; the others followed.
fn given_up_once(finished: &Finished) -> Option<Finding> {
    // A failure shows the log a second time; lines have their times in them.
    let lines = finished.output.console.lines().map(str::trim_end).filter(|line| line.ends_with(GIVEN_UP));
    let times = lines.collect::<BTreeSet<_>>().len();
    (times != 1).then(|| Finding::Fact {
        key: "devices given up",
        expected: "1".to_owned(),
        found: Some(times.to_string()),
    })
}
