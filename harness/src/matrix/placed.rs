//! An image at an address where it cannot run: too high for RTAS, or over the exception vectors. It says so and ends.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::qemu::command::Attachment;
use crate::session::SessionError;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::UvError;
use postern_ultravisor::gdb::{Client, GdbError, Stop};
use postern_ultravisor::image::KernelImage;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long the entry may take to reach its first instructions.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(20);
/// `andis. r6,r6,0x40` behind `mfmsr r6`: the entry tests MSR\[S\].
const TESTS_S: [u8; 4] = 0x74c6_0040_u32.to_le_bytes();
const MSR_SF: u64 = 1 << 63;
const MSR_S: u64 = 1 << 22;
/// Bytes at the image's start that contain the entry.
const ENTRY_BYTES: usize = 0x1000;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("placed/above-4G", |context| {
            case!("VEC-06", Halt, Q);
            placed(context, 4608, 1 << 32, false, "image loaded at 0x100000000, not below 4 GiB")
        }),
        Test::new("placed/over-vectors", |context| {
            case!("VEC-07", Halt, Q);
            placed(context, 512, 0x8000, false, "image loaded at 0x8000, over the exception vectors")
        }),
        Test::new("placed/over-vectors/secure", |context| {
            case!("VEC-07", Halt, Q);
            placed(context, 512, 0, true, "halt: vector")?;
            placed(context, 512, 0x8000, true, "halt: vector")
        }),
    ]
}

/// The image lies at `base` and is entered there at reset. QEMU's CPUs have no MSR\[S\]: for `secure` the bit is set in the
/// register in which the entry tests it.
fn placed(
    context: &Context,
    mebibytes: u64,
    base: u64,
    secure: bool,
    said: &'static str,
) -> Result<(), Failure> {
    let mut fixture =
        Fixture::new(context, GuestConfig { mebibytes, ..GuestConfig::new(Firmware::Bios, false, false) })?;
    let root = fixture.dir.root().to_path_buf();
    fixture.dir.touches_little();
    let memory = fixture.dir.memory(fixture.machine.memory).map_err(|error| Finding::File(root, error))?;
    let gdb = fixture.dir.path("gdb");
    fixture.machine.attachment = Some(Attachment { gdb: gdb.clone(), memory: memory.clone() });
    let ultravisor = |error| Finding::Start(SessionError::Ultravisor(error));
    let image = KernelImage::load(&context.kernel).map_err(|error| ultravisor(UvError::Kernel(error)))?;
    let session = fixture.start()?;
    let entered = Client::connect(&gdb, TIMEOUT).map(|client| {
        let file = OpenOptions::new().write(true).open(&memory);
        let written = file.and_then(|file| file.write_all_at(&image.flat(), base));
        written.map(|()| client)
    });
    let client = entered.map_err(|error| ultravisor(error.into()))?;
    let client = client.map_err(|error| Finding::File(memory.clone(), error))?;
    let seen = enter(client, &image, base, secure).map_err(|error| ultravisor(error.into()))?;
    let finished = session.finish(LIMIT);
    let mut findings = judge::end(&finished, EXCEPTION);
    if !finished.output.console.contains(said) {
        findings.push(Finding::NeverSaid(said));
    }
    if secure && seen == 0 {
        findings.push(Finding::Order("the entry, then its test of MSR[S]"));
    }
    verdict(finished, findings)
}

/// Lets the guest run from `base` on. Returns how often it found MSR\[S\] set.
fn enter(mut client: Client, image: &KernelImage, base: u64, secure: bool) -> Result<u32, GdbError> {
    let [pc, msr, r6] = ["pc", "msr", "r6"].map(|name| client.register(name));
    let (pc, msr, r6) = (pc?, msr?, r6?);
    // At reset the CPU is big-endian, and has 32-bit addresses.
    client.write_register(pc, &base.to_be_bytes())?;
    client.write_register(msr, &MSR_SF.to_be_bytes())?;
    if !secure {
        client.resume()?;
        return Ok(0);
    }
    let flat = image.flat();
    let entry = flat.get(..ENTRY_BYTES).unwrap_or_default().chunks_exact(4);
    for (at, _) in (base..).step_by(4).zip(entry).filter(|(_, word)| *word == TESTS_S) {
        client.set_breakpoint(at)?;
    }
    client.resume()?;
    let mut seen = 0;
    loop {
        // When the guest ends, QEMU ends.
        let thread = match client.wait_within(ENTRY_TIMEOUT) {
            Ok(Some(Stop::Trap { thread })) => thread,
            Ok(_) | Err(GdbError::Gone) => return Ok(seen),
            Err(error) => return Err(error),
        };
        let bytes = client.read_register(r6)?;
        let msr = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        client.write_register(r6, &(msr | MSR_S).to_le_bytes())?;
        client.step(&thread)?;
        client.resume()?;
        seen += 1;
    }
}
