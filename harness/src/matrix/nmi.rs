//! System reset and machine check: the guest reports where it was, and ends, by whichever path they enter.
//!
//! QEMU's monitor sends system resets. It has no machine check for a guest under TCG, so the test makes one through the
//! gdb server, with the state that the hypervisor and the CPU would leave.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::qemu::monitor::Monitor;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_cases::case;
use postern_ultravisor::gdb::{Client, GdbError};
use std::path::Path;
use std::time::Duration;

/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// How long QEMU may take to open its gdb server.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Where the kernel's handler for machine checks is (`boot/src/vectors.S`).
const CHECK: u64 = 0x1c20;
/// Where QEMU leaves an error log in the RTAS area (`RTAS_ERROR_LOG_OFFSET`, `include/hw/ppc/spapr.h`).
const LOG_OFFSET: u64 = 0x30;
/// Start of QEMU's log of an unrecoverable error: version 6, synchronous, uncorrectable ECC.
const LOG_HEAD: [u8; 8] = [0x06, 0x74, 0x14, 0x09, 0, 0, 0, 0];
const LOG_SAID: &str = "version 6, error, synchronous, not recovered, type 0x09";
/// The value of r3 that the guest has to report.
const R3: u64 = 0x0123_4567_89ab_cdef;
/// MSR that the interrupt leaves: 64-bit and little-endian, nothing else (Power ISA 3.0B, book III 6.5).
const MSR: u64 = 1 << 63 | 1;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let vof = GuestConfig::new(Firmware::Vof, false, true);
    let mut tests = Vec::new();
    for (suffix, config, way) in [
        ("", vof, "registered"),
        ("/secure", GuestConfig { secure: true, ..vof }, "registered"),
        ("/smp-4", GuestConfig { smp: 4, ..vof }, "registered"),
        // No firmware, no RTAS area, no error log: the plain vector.
        ("/bios", GuestConfig { firmware: Firmware::Bios, ..vof }, "vector"),
    ] {
        let name = format!("interrupts/system-reset{suffix}");
        tests.push(Test::new(name, move |context| system_reset(context, config, way)));
    }
    tests.push(Test::new("interrupts/machine-check", move |context| machine_check(context, vof)));
    tests
}

/// A system reset from QEMU's monitor.
fn system_reset(context: &Context, config: GuestConfig, way: &str) -> Result<(), Failure> {
    case!("IRQ-05", Halt, Q);
    let mut fixture = Fixture::new(context, config)?;
    let (session, mut findings) = serving(&mut fixture)?;
    if let Some(socket) = session.machine.monitor.as_deref().filter(|_| findings.is_empty()) {
        let pressed = Monitor::connect(socket).and_then(|mut monitor| monitor.inject_nmi());
        findings.extend(pressed.err().map(Finding::Monitor));
    }
    let finished = session.finish(LIMIT);
    findings.extend(reported(&finished, "0x100", way));
    findings.extend(judge::strict(&finished));
    verdict(finished, findings)
}

fn machine_check(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    case!("IRQ-05", Halt, Q);
    let mut fixture = Fixture::new(context, config)?;
    let socket = fixture.dir.path("gdb");
    fixture.machine.extra.extend(
        [
            "-chardev",
            &format!("socket,id=gdb,server=on,wait=off,path={}", socket.display()),
            "-gdb",
            "chardev:gdb",
        ]
        .map(str::to_owned),
    );
    let (session, mut findings) = serving(&mut fixture)?;
    let mut interrupted = 0;
    if findings.is_empty() {
        let area = area(&session);
        match area.map_or(Err(GdbError::NoRegister("rtas.base")), |area| check(&socket, area)) {
            Ok(pc) => interrupted = pc,
            Err(error) => findings.push(Finding::Ultravisor(error.to_string())),
        }
    }
    let finished = session.finish(LIMIT);
    findings.extend(reported(&finished, "0x200", "registered"));
    findings.extend(judge::fact(&finished, "exception.srr0", &format!("{interrupted:#x}")));
    findings.extend(judge::fact(&finished, "exception.r3", &format!("{R3:#x}")));
    if !finished.output.console.contains(LOG_SAID) {
        findings.push(Finding::NeverSaid(LOG_SAID));
    }
    verdict(finished, findings)
}

/// A guest that serves a network without traffic.
fn serving(fixture: &mut Fixture) -> Result<(Session, Vec<Finding>), Failure> {
    fixture.machine.net = Net::User;
    fixture.word("run=net-serve serve=100 ip=10.0.2.15/24 gw=10.0.2.2");
    let session = fixture.start()?;
    let said = session.qemu.console().wait_for(LIMIT, |line| line == SERVING);
    let missing = said.is_none().then_some(Finding::NeverSaid(SERVING));
    Ok((session, missing.into_iter().collect()))
}

fn reported(finished: &Finished, vector: &str, way: &str) -> Vec<Finding> {
    let mut findings = judge::end(finished, EXCEPTION);
    findings.extend(judge::fact(finished, "exception", vector));
    findings.extend(judge::fact(finished, "exception.way", way));
    findings
}

/// Address of the RTAS area, as the guest printed it.
fn area(session: &Session) -> Option<u64> {
    const BASE: &str = "postern: nmi.area=0x";
    let line = session.qemu.console().wait_for(Duration::ZERO, |line| line.starts_with(BASE))?;
    u64::from_str_radix(line.strip_prefix(BASE)?, 16).ok()
}

/// Stops the guest wherever it is and continues it as after a machine check. Returns the address where it was.
fn check(socket: &Path, area: u64) -> Result<u64, GdbError> {
    let mut client = Client::connect(socket, TIMEOUT)?;
    let [pc, msr, srr0, srr1, r3] = ["pc", "msr", "srr0", "srr1", "r3"].map(|name| client.register(name));
    let (pc, msr, srr0, srr1, r3) = (pc?, msr?, srr0?, srr1?, r3?);
    // The kernel runs little-endian, and the registers' bytes have the same order.
    let mut read = |register| {
        let bytes = client.read_register(register)?;
        Ok::<_, GdbError>(bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let (interrupted, state) = (read(pc)?, read(msr)?);
    // The area lies below translation's reach; with it off, an address is a guest physical one.
    client.write_register(msr, &MSR.to_le_bytes())?;
    let mut saved = R3.to_be_bytes().to_vec();
    saved.extend_from_slice(&LOG_HEAD);
    let place = area + LOG_OFFSET;
    client.write_memory(place, &saved)?;
    for (register, value) in [(srr0, interrupted), (srr1, state), (r3, place), (pc, CHECK)] {
        client.write_register(register, &value.to_le_bytes())?;
    }
    client.resume()?;
    Ok(interrupted)
}
