//! A virtio-rng with the other devices: its bytes are mixed in, and its use ends before the others begin. One that never
//! answers is named, and the other devices work.

use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;
use postern_cases::case;

const BYTES: u64 = 1 << 20;
/// Exit status: a device is missing, refused or broken.
const DEVICE: u8 = 6;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |name: &str, config: GuestConfig, answers: bool| {
        Test::new(format!("rng/{name}"), move |context| run(context, config, answers))
    };
    vec![
        test("normal", GuestConfig::new(Firmware::Vof, false, true), true),
        test("secure/ap-on", GuestConfig::new(Firmware::Bios, true, true), true),
        test("secure/ap-off", GuestConfig::new(Firmware::Bios, true, false), true),
        test("silent", GuestConfig::new(Firmware::Vof, false, true), false),
    ]
}

fn run(context: &Context, config: GuestConfig, answers: bool) -> Result<(), Failure> {
    case!("RND-07", Work, Q);
    let mut fixture = Fixture::new(context, config)?;
    let image = fixture.data_disk(BYTES)?;
    let (backend, chardev) = if answers {
        // The host chooses all bytes: the guest's random numbers are not weaker for that.
        ("rng-random,id=random,filename=/dev/zero".to_owned(), None)
    } else {
        // No program connects to this socket.
        let socket = fixture.dir.path("egd");
        let chardev = format!("socket,id=egd,server=on,wait=off,path={}", socket.display());
        ("rng-egd,id=random,chardev=egd".to_owned(), Some(chardev))
    };
    if let Some(chardev) = chardev {
        fixture.machine.extra.extend(["-chardev".to_owned(), chardev]);
    }
    let platform = if config.access_platform { "on" } else { "off" };
    let device = format!("virtio-rng-pci,rng=random,disable-legacy=on,iommu_platform={platform}");
    fixture.machine.extra.extend(["-object".to_owned(), backend, "-device".to_owned(), device]);
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, if answers { 0 } else { DEVICE });
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&image)?));
    findings.extend(judge::fact(&finished, "entropy", if answers { "darn,virtio-rng" } else { "darn" }));
    findings.extend(judge::fact(&finished, "devices.refused", if answers { "0" } else { "1" }));
    const READ: &str = ", 64 bytes mixed in";
    const SILENT: &str = "refused: no answer in time";
    let said = if answers { READ } else { SILENT };
    if !finished.output.console.contains(said) {
        findings.push(Finding::NeverSaid(said));
    }
    if config.secure {
        findings.extend(judge::exposure(&finished, config.access_platform));
        if judge::quarantined(&finished) != Some(false) {
            findings.push(Finding::Quarantine { expected: false });
        }
    }
    verdict(finished, findings)
}
