//! UV_ESM measures the same bytes that QEMU was given, wherever the image was loaded: the kernel's file, the arguments,
//! the initrd. The guest states the build id of that file.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::run::INITRD;
use crate::variable::Firmware;
use postern_ultravisor::image::sha512;

/// An address that is aligned to a frame and to nothing larger.
const ELSEWHERE: u64 = 0x234_0000;

/// The bytes before the 20 bytes of a build id in an ELF file: lengths, kind and name of the note.
const BUILD_NOTE: [u8; 16] = *b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";

/// The build id of an image's file, in hexadecimal; nothing without one.
pub(super) fn build_id(file: &[u8]) -> String {
    let at = file.windows(BUILD_NOTE.len()).position(|bytes| bytes == BUILD_NOTE);
    let id = at.and_then(|at| file.get(at + BUILD_NOTE.len()..)?.get(..20)).unwrap_or_default();
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tests. Our ROM supports one address only.
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
    let mut fixture = Fixture::new(context, GuestConfig::new(firmware, true, true))?;
    fixture.machine.kernel_address = address;
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let bootargs = sha512(fixture.machine.bootargs.as_bytes());
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    findings.extend(judge::fact(&finished, "mode", "secure-emulated"));
    let file =
        std::fs::read(&context.kernel).map_err(|error| Finding::File(context.kernel.clone(), error))?;
    findings.extend(judge::fact(&finished, "image.build", &build_id(&file)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_the_bytes_after_its_note_s_header() {
        let id: Vec<u8> = (0..20).collect();
        let file = [b"\x7fELF\x04\0\0\0".as_slice(), &BUILD_NOTE, &id, b"more"].concat();
        assert_eq!(build_id(&file), "000102030405060708090a0b0c0d0e0f10111213");
        assert_eq!(build_id(&file[..30]), "");
        assert_eq!(build_id(b"no note"), "");
    }
}
