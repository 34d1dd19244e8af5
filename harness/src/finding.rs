//! Faults of a run, one value per finding.

use crate::blob::BlobError;
use crate::disk;
use crate::guest::tap;
use crate::observe::console;
use crate::observe::contract;
use crate::observe::exposure::Violation;
use crate::observe::leaks::Leak;
use crate::observe::map::MapViolation;
use crate::observe::pci::Misplaced;
use crate::partition::PartError;
use crate::pattern::Mismatch;
use crate::peer::cable_peer::CablePeerError;
use crate::peer::echo::EchoError;
use crate::peer::page::PageError;
use crate::peer::wire::WireError;
use crate::qemu::monitor::MonitorError;
use crate::qemu::process::Ended;
use crate::session::SessionError;
use crate::tree::Difference;
use postern_adversary::ledger::Refusal;
use postern_adversary::server::ServerError;
use postern_ultravisor as ultravisor;
use postern_ultravisor::fdt::FdtError;
use postern_ultravisor::strict::Breach;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// One fault.
#[derive(Debug)]
pub enum Finding {
    /// No fault: the test cannot be run on this machine, for this reason.
    Skipped(String),
    /// The other findings are of this configuration; the test has several.
    Configuration(String),
    /// An ordinary program, as the guest's peer, failed in this way.
    Program(String),
    /// The guest does not name this device.
    Unnamed(String),
    /// The guest could not be started.
    Start(SessionError),
    /// The guest's ESM blob could not be made.
    Blob(BlobError),
    /// A part of a secret is still in guest memory, at this address.
    SecretLeft(u64),
    /// A file of the run could not be made or read.
    File(PathBuf, io::Error),
    /// QEMU did not end as expected.
    Ended {
        /// The expected end.
        expected: Ended,
        /// The actual end.
        found: Ended,
        /// The last line of QEMU's standard error, if any.
        errors: String,
    },
    /// The guest's `EXIT: STATUS=`.
    ExitStatus {
        /// The expected status.
        expected: u8,
        /// The printed status, if one was printed.
        found: Option<u8>,
    },
    /// This number of `EXIT: STATUS=` lines, where one is expected.
    ExitLines(usize),
    /// A console line of the guest with control bytes.
    ControlBytes(String),
    /// A console line occurs this number of times, which is not the expected number.
    Times {
        /// The end of the line.
        text: String,
        /// Number of times.
        times: usize,
    },
    /// The status line is not the last line of the console.
    NotLast(String),
    /// A plain line.
    Fact {
        /// Its key.
        key: &'static str,
        /// The expected value.
        expected: String,
        /// The printed value, if any.
        found: Option<String>,
    },
    /// A plain line that docs/guest-contract.md does not have.
    Contract(contract::Breach),
    /// The console never showed this expected text.
    NeverSaid(&'static str),
    /// The console showed this text, which it must not.
    Said(&'static str),
    /// Two runs did not print the same lines: the first difference.
    OtherWords {
        /// In the first run.
        expected: Option<String>,
        /// In the second.
        found: Option<String>,
    },
    /// A wrong number of memory frames of a kind.
    Frames {
        /// The kind.
        what: &'static str,
        /// Their number.
        found: u64,
    },
    /// There is no valid device tree at the stated address of guest memory.
    NoTree(FdtError),
    /// An observer's finding.
    Exposure(Violation),
    /// A violation of the rules of the guest's memory map.
    Map(MapViolation),
    /// A breach that a real ultravisor would not have allowed.
    Strict(Breach),
    /// The guest did not run the expected number of tests.
    Plan {
        /// The number in the guest's plan, if it printed one.
        planned: Option<usize>,
        /// The number of results.
        came: usize,
        /// The expected number.
        expected: usize,
    },
    /// A test in the guest has another result.
    GuestTest {
        /// Its name.
        name: &'static str,
        /// The expected result.
        expected: tap::Verdict,
        /// The printed result, if any.
        found: Option<tap::Verdict>,
    },
    /// The observers did not report a deliberate fault.
    Unnoticed,
    /// The ultravisor stopped working, for this reason.
    Ultravisor(String),
    /// The ultravisor's finding.
    Ultracall(ultravisor::Violation),
    /// The ultracalls are not the expected ones.
    Ultracalls {
        /// The expected names, in order.
        expected: Vec<&'static str>,
        /// The names of the calls made, in order.
        found: Vec<String>,
    },
    /// UV_ESM's requirements that were not met.
    Requirements(Vec<ultravisor::Requirement>),
    /// The guest's secure state, as the ultravisor has it, is not the expected one.
    Secure {
        /// The expected state.
        expected: bool,
    },
    /// A fault in the CPUs' parts of the work on a disk.
    Part(PartError),
    /// The scratch disk does not hold the pattern.
    Pattern(Mismatch),
    /// The image of a read-only disk changed.
    ImageChanged,
    /// A disk image does not hold the data that the guest wrote.
    ImageContent,
    /// A fault of the echo over UDP or TCP.
    Echo(EchoError),
    /// A fault that a client of the status page found.
    Page(PageError),
    /// A fault of an exchange of raw frames.
    Wire(WireError),
    /// A fault of the echo over the cable of a vhost-user server.
    CablePeer(CablePeerError),
    /// A vhost-user server failed.
    Server(ServerError),
    /// A device was refused memory that the guest had not shared.
    Refused(&'static str, Refusal),
    /// A secret in a shared frame.
    Leak(Leak),
    /// The secrets are not at the addresses that the guest stated.
    NoSecret(&'static str),
    /// A device did no work.
    Idle(&'static str),
    /// A weakness that an attack on running CPUs showed.
    Weakness(ultravisor::inject::Weakness),
    /// The most ranges in a request of a driver.
    Ranges {
        /// The driver's own limit.
        expected: u64,
        /// The most in a request that the device saw.
        found: u64,
    },
    /// The seed of the attack's random choices, added to other findings.
    Seed(u64),
    /// A line of a secure guest's console that is not allowed.
    Console(console::Shown),
    /// The console shows this number, which is a register's value or a secret.
    Shown(u64),
    /// The order of two things is wrong.
    Order(&'static str),
    /// Memory of the pool is in quarantine and should not be, or the reverse.
    Quarantine {
        /// Whether it should be.
        expected: bool,
    },
    /// Memory that the tree reserves was changed, at this address.
    Overwritten(u64),
    /// Something happened less often than the test needs.
    TooFew {
        /// The event.
        what: &'static str,
        /// The least number needed.
        least: u64,
        /// The number counted.
        found: u64,
    },
    /// The device did not violate the protocol, though the test is about that.
    NoViolation,
    /// UV_ESM measured other bytes than QEMU was given.
    Measured(&'static str),
    /// A list of the release has wrong statements.
    Bill(PathBuf, Vec<String>),
    /// A device tree that cannot be read.
    Fdt(FdtError),
    /// The guest's device tree is not the one that QEMU gave to firmware.
    Tree(Difference),
    /// A PCI function is not where QEMU has it.
    Misplaced(Misplaced),
    /// An error of QEMU's monitor.
    Monitor(MonitorError),
    /// The pool does not have the requested size.
    PoolSize {
        /// Bytes asked for.
        expected: u64,
        /// Bytes reported.
        found: Option<u64>,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(config) => write!(f, "in this configuration: {config}"),
            Self::Program(failure) => f.write_str(failure),
            Self::Unnamed(device) => write!(f, "{device}, which the guest does not name"),
            Self::Start(error) => write!(f, "{error}"),
            Self::Blob(error) => write!(f, "{error}"),
            Self::SecretLeft(at) => write!(f, "a part of the secret is left in memory at {at:#x}"),
            Self::Contract(breach) => write!(f, "{breach}"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Ended { expected, found, errors } if errors.is_empty() => {
                write!(f, "{found}, expected: {expected}")
            }
            Self::Ended { expected, found, errors } => write!(f, "{found} ({errors}), expected: {expected}"),
            Self::ExitStatus { expected, found: Some(found) } => {
                write!(f, "EXIT: STATUS={found}, expected {expected}")
            }
            Self::ExitStatus { expected, found: None } => {
                write!(f, "no EXIT: STATUS= line, expected {expected}")
            }
            Self::ExitLines(count) => write!(f, "{count} lines begin with EXIT: STATUS=, expected 1"),
            Self::ControlBytes(line) => write!(f, "control characters on the console: {line:?}"),
            Self::Times { text, times } => write!(f, "the console has {times} lines of: {text}"),
            Self::NotLast(line) => write!(f, "the console goes on after its EXIT line: {line}"),
            Self::Fact { key, expected, found: Some(found) } => {
                write!(f, "{key}={found}, expected {expected}")
            }
            Self::Fact { key, expected, found: None } => write!(f, "{key} not stated, expected {expected}"),
            Self::Said(text) => write!(f, "the console shows {text}"),
            Self::OtherWords { expected, found } => {
                let line = |line: &Option<String>| line.clone().unwrap_or_else(|| "nothing".to_owned());
                write!(f, "one run has `{}`, the other `{}`", line(expected), line(found))
            }
            Self::Frames { what, found } => write!(f, "{found} frames are {what}"),
            Self::NoTree(error) => write!(f, "device tree in memory: {error}"),
            Self::Skipped(why) => f.write_str(why),
            Self::NeverSaid(what) => write!(f, "the console never showed: {what}"),
            Self::Exposure(violation) => write!(f, "observer: {violation}"),
            Self::Map(violation) => write!(f, "memory map: {violation}"),
            Self::Strict(breach) => write!(f, "strict: {breach}"),
            Self::Plan { planned, came, expected } => {
                write!(f, "{came} tests in the guest, of {planned:?} planned, not {expected}")
            }
            Self::GuestTest { name, expected, found } => {
                write!(f, "{name} in the guest: {found:?}, not {expected:?}")
            }
            Self::Unnoticed => f.write_str("the observers reported nothing"),
            Self::Ultravisor(error) => write!(f, "the ultravisor stopped: {error}"),
            Self::Ultracall(violation) => write!(f, "ultravisor: {violation}"),
            Self::Ultracalls { expected, found } => {
                write!(f, "ultracalls {found:?}, expected {expected:?}")
            }
            Self::Requirements(list) => {
                f.write_str("UV_ESM requirements not met:")?;
                list.iter().try_for_each(|requirement| write!(f, " {requirement};"))
            }
            Self::Secure { expected: true } => f.write_str("the guest never became secure"),
            Self::Secure { expected: false } => f.write_str("the guest became secure"),
            Self::Part(error) => write!(f, "{error}"),
            Self::Pattern(mismatch) => write!(f, "scratch disk: {mismatch}"),
            Self::ImageContent => f.write_str("a disk image does not hold what the guest wrote to it"),
            Self::ImageChanged => f.write_str("the image of a read-only disk changed"),
            Self::Echo(error) => write!(f, "{error}"),
            Self::Page(error) => write!(f, "{error}"),
            Self::Wire(error) => write!(f, "{error}"),
            Self::CablePeer(error) => write!(f, "{error}"),
            Self::Server(error) => write!(f, "{error}"),
            Self::Refused(device, refusal) => write!(f, "{device}: {refusal}"),
            Self::Leak(leak) => write!(f, "{leak}"),
            Self::NoSecret(place) => write!(f, "{place}: the secrets are not there"),
            Self::Idle(device) => write!(f, "{device}: the guest never used it"),
            Self::Weakness(weakness) => write!(f, "{weakness}"),
            Self::Ranges { expected, found } => {
                write!(f, "requests of up to {found} ranges, expected {expected}")
            }
            Self::Seed(seed) => write!(f, "the attack's seed was {seed}"),
            Self::Console(shown) => write!(f, "{shown}"),
            Self::Shown(value) => {
                write!(f, "the console shows {value:#x}, which is a register's or a secret")
            }
            Self::Order(what) => write!(f, "not in this order: {what}"),
            Self::Quarantine { expected: true } => f.write_str("no memory is in quarantine"),
            Self::Quarantine { expected: false } => {
                f.write_str("memory is in quarantine, or the guest does not state it")
            }
            Self::Overwritten(at) => write!(f, "reserved memory at {at:#x} was written to"),
            Self::TooFew { what, least, found } => write!(f, "{what}: {found}, expected at least {least}"),
            Self::NoViolation => f.write_str("the device never violated the protocol"),
            Self::Bill(list, wrong) => write!(f, "wrong in {}: {}", list.display(), wrong.join("; ")),
            Self::Measured(what) => write!(f, "UV_ESM measured another {what} than QEMU was given"),
            Self::Fdt(error) => write!(f, "{error}"),
            Self::Tree(difference) => write!(f, "device tree: {difference}"),
            Self::Misplaced(misplaced) => write!(f, "{misplaced}"),
            Self::Monitor(error) => write!(f, "{error}"),
            Self::PoolSize { expected, found } => write!(f, "pool.bytes {found:?}, expected {expected}"),
        }
    }
}

/// SHA-256 of a whole image.
///
/// # Errors
/// The file, as a finding.
pub fn digest(path: &std::path::Path) -> Result<String, Finding> {
    disk::sha256(path, u64::MAX).map_err(|error| Finding::File(path.to_path_buf(), error))
}
