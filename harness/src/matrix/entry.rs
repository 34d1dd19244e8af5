//! Interrupts without a cause: the guest names each and ends, and a secure guest's report shows no register.
//!
//! In a secure guest QEMU's monitor sends a system reset at any moment. The others are made through the gdb server of an
//! ordinary guest: the ultravisor uses that of a secure guest.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::qemu::monitor::Monitor;
use crate::session::Session;
use crate::variable::{Firmware, Net};
use postern_cases::case;
use postern_ultravisor::gdb::{Client, GdbError};
use std::path::Path;
use std::time::Duration;

/// Exit status: an unhandled exception.
const EXCEPTION: u8 = 8;
/// How long QEMU may take to open its gdb server.
const TIMEOUT: Duration = Duration::from_secs(120);
/// MSR that an interrupt leaves: 64-bit and little-endian, nothing else (Power ISA 3.0B, book III 6.5).
const MSR: u64 = 1 << 63 | 1;
/// MSR\[RI\]: set by the kernel when an interrupt is recoverable.
const MSR_RI: u64 = 1 << 1;
/// Text that only a full report has.
const REGISTERS: [&str; 6] =
    ["SRR0=", "  r00: ", "back-trace", "exception.srr0", "exception.r3", "--- log kept so far ---"];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("entry/report/silent", |context| report(context, "loglevel=error", false)),
        Test::new("entry/report/full", |context| report(context, "loglevel=error report=full", true)),
        Test::new("entry/system-call", |context| {
            case!("VEC-01", Halt, Q);
            interrupted(context, 0xc00, MSR_RI, "postern: exception=0xc00")
        }),
        Test::new("entry/unused-slot", |context| {
            case!("VEC-02", Halt, Q);
            interrupted(context, 0x1fe0, MSR_RI, "postern: exception=0x1fe0")
        }),
        Test::new("entry/nested", |context| {
            case!("VEC-03", Halt, Q);
            interrupted(context, 0x300, 0, "halt: vector")
        }),
        Test::new("entry/nested-return", |context| {
            case!("VEC-03", Halt, Q);
            interrupted(context, 0x500, 0, "halt: vector")
        }),
    ]
}

/// The reset button of a secure guest at work.
fn report(context: &Context, words: &str, full: bool) -> Result<(), Failure> {
    case!("VEC-04", Halt, Q);
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, true, true))?;
    let (session, mut findings) = serving(&mut fixture, words)?;
    if let Some(socket) = session.machine.monitor.as_deref().filter(|_| findings.is_empty()) {
        let pressed = Monitor::connect(socket).and_then(|mut monitor| monitor.inject_nmi());
        findings.extend(pressed.err().map(Finding::Monitor));
    }
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, EXCEPTION));
    findings.extend(judge::fact(&finished, "exception", "0x100"));
    if finished.report.fact("exception.offset").is_none() {
        findings.push(Finding::NeverSaid("exception.offset"));
    }
    for shown in REGISTERS {
        match (full, finished.output.console.contains(shown)) {
            (true, false) => findings.push(Finding::NeverSaid(shown)),
            (false, true) => findings.push(Finding::Order("a report without registers, stack and log")),
            _ => {}
        }
    }
    verdict(finished, findings)
}

/// An interrupt at `vector` without a cause, in a guest whose MSR\[RI\] is set or, without `recoverable`, clear.
fn interrupted(context: &Context, vector: u64, recoverable: u64, said: &'static str) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, true))?;
    let socket = fixture.dir.path("gdb");
    let server = format!("socket,id=gdb,server=on,wait=off,path={}", socket.display());
    fixture.machine.extra.extend(["-chardev", &server, "-gdb", "chardev:gdb"].map(str::to_owned));
    let (session, mut findings) = serving(&mut fixture, "")?;
    if findings.is_empty() {
        let done = enter(&socket, vector, recoverable);
        findings.extend(done.err().map(|error| Finding::Ultravisor(error.to_string())));
    }
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, EXCEPTION));
    if !finished.output.console.lines().any(|line| line.trim_end() == said) {
        findings.push(Finding::NeverSaid(said));
    }
    verdict(finished, findings)
}

/// A guest that serves a network without traffic.
fn serving(fixture: &mut Fixture, words: &str) -> Result<(Session, Vec<Finding>), Failure> {
    fixture.machine.net = Net::User;
    fixture.word("run=net-serve serve=20 ip=10.0.2.15/24 gw=10.0.2.2");
    fixture.word(words);
    let session = fixture.start()?;
    let said = session.qemu.console().wait_for(LIMIT, |line| line == SERVING);
    let missing = said.is_none().then_some(Finding::NeverSaid(SERVING));
    Ok((session, missing.into_iter().collect()))
}

/// Stops the guest wherever it is and continues it as after an interrupt.
fn enter(socket: &Path, vector: u64, recoverable: u64) -> Result<(), GdbError> {
    let mut client = Client::connect(socket, TIMEOUT)?;
    let [pc, msr, srr0, srr1] = ["pc", "msr", "srr0", "srr1"].map(|name| client.register(name));
    let (pc, msr, srr0, srr1) = (pc?, msr?, srr0?, srr1?);
    // The kernel runs little-endian, and the registers' bytes have the same order.
    let mut read = |register| {
        let bytes = client.read_register(register)?;
        Ok::<_, GdbError>(bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let (interrupted, state) = (read(pc)?, read(msr)?);
    let state = state & !MSR_RI | recoverable;
    for (register, value) in [(msr, MSR), (srr0, interrupted), (srr1, state), (pc, vector)] {
        client.write_register(register, &value.to_le_bytes())?;
    }
    client.resume()
}
