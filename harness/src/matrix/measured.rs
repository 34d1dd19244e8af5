//! What UV_ESM measures is what was given to QEMU, wherever the image was loaded: the kernel's file byte for
//! byte, the arguments, the initrd.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, Scene, Shape, verdict};
use crate::run::INITRD;
use crate::ultravisor::image::sha512;
use crate::variable::Firmware;

/// On a frame boundary, and on no larger one.
const ELSEWHERE: u64 = 0x234_0000;

/// The tests. Our ROM knows one address only.
#[must_use]
pub fn tests() -> Vec<Test> {
    let cases = [
        (Firmware::Slof, Some(ELSEWHERE)),
        (Firmware::Vof, Some(ELSEWHERE)),
        (Firmware::Vof, None),
        (Firmware::Bios, None),
    ];
    let test = |(firmware, address): (Firmware, Option<u64>)| {
        let place = if address.is_some() { "/elsewhere" } else { "" };
        let name = format!("measured/{}{place}", firmware.name());
        Test::new(name, move |context| measured(context, firmware, address))
    };
    cases.map(test).into()
}

fn measured(context: &Context, firmware: Firmware, address: Option<u64>) -> Result<(), Failure> {
    let mut scene = Scene::new(context, Shape::new(firmware, true, true))?;
    scene.machine.kernel_address = address;
    scene.data_disk(1 << 20)?;
    scene.word("run=blk-digest");
    let bootargs = sha512(scene.machine.bootargs.as_bytes());
    let finished = scene.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "mode", "secure-emulated"));
    let reports = finished.ultravisor.as_ref().map_or(&[][..], |report| &report.esm);
    match reports {
        [esm] => {
            let wrong = [
                ("kernel", esm.kernel.is_equal()),
                ("kernel base", address.is_none_or(|address| address == esm.kernel_base)),
                ("command line", esm.bootargs_sha512.as_ref() == Some(&bootargs)),
                ("initrd", esm.initrd_sha512.as_ref() == Some(&sha512(INITRD))),
            ];
            let wrong = wrong.into_iter().filter(|(_, equal)| !equal);
            findings.extend(wrong.map(|(what, _)| Finding::Measured(what)));
        }
        _ => findings.push(Finding::Secure { expected: true }),
    }
    verdict(finished, findings)
}
