//! One guest from reset to its end: QEMU, its ultravisor, and their results.

use crate::guest::console::Live;
use crate::guest::report::Report;
use crate::json_lines;
use crate::observe::cedes::Cedes;
use crate::observe::exposure::Shared;
use crate::observe::log::Log;
use crate::observe::proofs;
use crate::qemu::command::{Attachment, Machine};
use crate::qemu::process::{Ended, Output, Qemu, StartError};
use crate::variable::Firmware;
use esm_blob::PrivateKey;
use postern_ultravisor::doctor::Edit;
use postern_ultravisor::host::Rule;
use postern_ultravisor::inject::Attack;
use postern_ultravisor::requests::Requests;
use postern_ultravisor::strict::Block;
use postern_ultravisor::trace::Trace;
use postern_ultravisor::workdir::Workdir;
use postern_ultravisor::{Behaviour, Config, Faults, Guest, ShareMap, Ultravisor, UvError};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long QEMU may take to open its gdb server.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long QEMU may take to end once its gdb server is gone.
const QEMU_END: Duration = Duration::from_secs(30);
/// Interval of the checks of a QEMU.
const TICK: Duration = Duration::from_millis(10);

/// A guest's ultravisor.
#[derive(Clone, Debug)]
pub struct Protection {
    /// Which description it follows.
    pub behaviour: Behaviour,
    /// Deliberate faults.
    pub faults: Faults,
    /// With the ROM: ranges, as address and size, that the tree reserves.
    pub reserve: Vec<(u64, u64)>,
    /// With the ROM: changes of the tree.
    pub edits: Vec<Edit>,
    /// The host's rules for the guest's hypercalls.
    pub host: Vec<Rule>,
    /// The kind of the guest's kernel.
    pub guest: Guest,
    /// The host's attack on the guest's CPUs while they run.
    pub attack: Option<Attack>,
    /// Whether each hypercall passes and returns only its own registers, and the seed for the values of the others.
    pub registers: Option<u64>,
    /// Whether the tree announces the ultravisor; if not, the guest's command line has to.
    pub publish_node: bool,
    /// A private key in place of a TPM: the guest needs an ESM blob for it.
    pub tpm: Option<PrivateKey>,
    /// JSON lines, one per ultracall.
    pub log: Option<PathBuf>,
}

impl Protection {
    /// The published firmware's behaviour, and a correct host.
    #[must_use]
    pub fn honest(publish_node: bool) -> Self {
        Self {
            behaviour: Behaviour::Published,
            faults: Faults::none(),
            reserve: Vec::new(),
            edits: Vec::new(),
            host: Vec::new(),
            guest: Guest::Strict,
            attack: None,
            registers: None,
            publish_node,
            tpm: None,
            log: None,
        }
    }
}

/// Why a guest did not start.
#[derive(Debug)]
pub enum SessionError {
    /// QEMU.
    Qemu(StartError),
    /// QEMU ended before its first instruction; its output.
    Died(String),
    /// The ultravisor.
    Ultravisor(UvError),
    /// The file for guest memory could not be made.
    Memory(io::Error),
    /// No FIFO for QEMU's log.
    Log(io::Error),
    /// The kernel's or the ROM's file is not there.
    NoImage(PathBuf),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qemu(error) => write!(f, "{error}"),
            Self::Died(words) if words.is_empty() => f.write_str("QEMU did not start, and printed no reason"),
            Self::Died(words) => write!(f, "QEMU did not start: {words}"),
            Self::Ultravisor(error) => write!(f, "{error}"),
            Self::Memory(error) => write!(f, "no file for guest memory: {error}"),
            Self::Log(error) => write!(f, "no FIFO for QEMU's log: {error}"),
            Self::NoImage(path) => write!(f, "{}: not found; `make image` builds it", path.display()),
        }
    }
}

impl std::error::Error for SessionError {}

/// A guest that runs.
#[derive(Debug)]
pub struct Session {
    /// QEMU.
    pub qemu: Qemu,
    /// The machine as it was started.
    pub machine: Machine,
    /// QEMU's log; `None` if the guest is not observed.
    log: Option<Log>,
    ultravisor: Option<Ultravisor>,
}

/// A guest that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How QEMU ended.
    pub ended: Ended,
    /// QEMU's output.
    pub output: Output,
    /// The guest's facts.
    pub report: Report,
    /// The ultravisor's report.
    pub ultravisor: Option<postern_ultravisor::Report>,
    /// QEMU's trace.
    pub trace: Trace,
    /// With an ultravisor: the guest's requests to the host.
    pub requests: Requests,
    /// The RTAS argument blocks of a secure guest.
    pub rtas_blocks: BTreeSet<Block>,
    /// The guest's sleeps, if its decrementer was traced.
    pub cedes: Cedes,
    /// Bytes of guest memory.
    pub memory: u64,
}

impl Session {
    /// Starts a guest; with `protection`, it has an ultravisor and is traced.
    ///
    /// # Errors
    /// See [`SessionError`]; nothing is left running.
    pub fn start(
        machine: Machine,
        protection: Option<Protection>,
        dir: &mut Workdir,
        live: Option<Live>,
    ) -> Result<Self, SessionError> {
        Self::begin(machine, protection, dir, live, true)
    }

    /// As [`Self::start`], without QEMU's log, for measurements of time: logging a hypercall or a translation takes longer
    /// than the event itself.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_unobserved(
        machine: Machine,
        protection: Option<Protection>,
        dir: &mut Workdir,
    ) -> Result<Self, SessionError> {
        Self::begin(machine, protection, dir, None, false)
    }

    fn begin(
        mut machine: Machine,
        protection: Option<Protection>,
        dir: &mut Workdir,
        live: Option<Live>,
        observed: bool,
    ) -> Result<Self, SessionError> {
        let rom = (machine.firmware == Firmware::Bios).then_some(&machine.rom);
        if let Some(missing) = [&machine.kernel].into_iter().chain(rom).find(|path| !path.is_file()) {
            return Err(SessionError::NoImage(missing.clone()));
        }
        machine.monitor = Some(dir.path("monitor"));
        if let Some(protection) = &protection {
            machine.publish_node = protection.publish_node;
            let memory = dir.memory(machine.memory).map_err(SessionError::Memory)?;
            machine.attachment = Some(Attachment { gdb: dir.path("gdb"), memory });
        }
        let memory = machine.attachment.as_ref().map(|attachment| attachment.memory.clone());
        let log =
            observed.then(|| Log::open(dir.path("log"), memory)).transpose().map_err(SessionError::Log)?;
        machine.trace = log.as_ref().map(|log| log.path().to_path_buf());
        let qemu = Qemu::start(&machine, live).map_err(SessionError::Qemu)?;
        let (Some(protection), Some(attachment)) = (protection, &machine.attachment) else {
            return Ok(Self { qemu, machine, log, ultravisor: None });
        };
        let deadline = Instant::now() + TIMEOUT;
        while !attachment.gdb.exists() && Instant::now() < deadline {
            if qemu.has_ended() {
                return Err(died(qemu));
            }
            std::thread::sleep(TICK);
        }
        let config = Config {
            tpm: protection.tpm,
            behaviour: protection.behaviour,
            faults: protection.faults,
            reserve: protection.reserve,
            edits: protection.edits,
            host: protection.host,
            attack: protection.attack,
            registers: protection.registers,
            guest: protection.guest,
            log: protection.log,
            publish_node: protection.publish_node && machine.firmware == Firmware::Bios,
            ..Config::new(machine.kernel.clone(), machine.firmware)
        };
        match postern_ultravisor::attach(&attachment.gdb, &attachment.memory, machine.memory, config) {
            Ok(ultravisor) => Ok(Self { qemu, machine, log, ultravisor: Some(ultravisor) }),
            // A QEMU that refuses its command line closes the gdb server first and ends a moment later.
            Err(UvError::Gdb(_)) if ends(&qemu, QEMU_END) => Err(died(qemu)),
            Err(error) => Err(SessionError::Ultravisor(error)),
        }
    }

    /// The memory that is shared at this moment, by the ultravisor's account; empty without an ultravisor.
    #[must_use]
    pub fn shared(&self) -> Shared {
        self.ultravisor.as_ref().map_or_else(Shared::default, |ultravisor| {
            let map = ultravisor.share_map();
            Shared { now: map.shared_ranges(), ever: map.ever_shared_ranges() }
        })
    }

    /// The ultravisor's map itself, for frequent queries.
    #[must_use]
    pub fn share_map(&self) -> Option<Arc<ShareMap>> {
        self.ultravisor.as_ref().map(Ultravisor::share_map)
    }

    /// QEMU's trace so far; empty if it was started unobserved.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.log.as_ref().map(Log::trace).unwrap_or_default()
    }

    /// Waits for the guest's end, `limit` from its start.
    #[must_use]
    pub fn finish(self, limit: Duration) -> Finished {
        let (ended, output) = self.qemu.wait(limit.min(longest()));
        let ultravisor = self.ultravisor.map(Ultravisor::join);
        let said = self.log.map(Log::finish).unwrap_or_default();
        let report = Report::parse(&output.console);
        json_lines::ended(&report);
        Finished {
            ended,
            report,
            output,
            ultravisor,
            trace: said.trace,
            requests: said.requests,
            rtas_blocks: said.blocks,
            cedes: said.cedes,
            memory: self.machine.memory,
        }
    }
}

impl Finished {
    /// The memory that was shared for another purpose than a proof, by the ultravisor's account; empty without one.
    #[must_use]
    pub fn shared(&self) -> Shared {
        self.ultravisor.as_ref().map_or_else(Shared::default, |report| Shared {
            now: report.shared.clone(),
            ever: proofs::without_proofs(&report.ever_shared, &report.calls),
        })
    }
}

/// Time limit in seconds for all guests, in addition to their tests' limits; 0 for none.
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// From now on no guest runs longer than this, in whole seconds.
pub fn limit_guests(limit: Duration) {
    LONGEST.store(limit.as_secs().max(1), Ordering::Relaxed);
}

/// The time limit of all guests.
#[must_use]
pub fn longest() -> Duration {
    match LONGEST.load(Ordering::Relaxed) {
        0 => Duration::MAX,
        seconds => Duration::from_secs(seconds),
    }
}

fn ends(qemu: &Qemu, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while !qemu.has_ended() && Instant::now() < deadline {
        std::thread::sleep(TICK);
    }
    qemu.has_ended()
}

fn died(qemu: Qemu) -> SessionError {
    SessionError::Died(qemu.stop().errors.trim().to_owned())
}

/// The last line that is not empty.
#[must_use]
pub fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
