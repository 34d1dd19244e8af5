//! Starts QEMU with an ultravisor for its guest, and waits for its end.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postern_adversary::server::ServerError;
use postern_adversary::violation::ProtocolViolation;

use super::absent::Kernel;
use super::blob::BlobError;
use super::hypercalls::{Hypercalls, Live};
use super::log::Log;
use super::qemu::{CommandLine, Refused, shown};
use super::servers::{Devices, Servers};
use super::settings::Settings;
use super::stand_in::Plan;
use super::summary::Summary;
use crate::UvError;
use crate::cut_short::CutShort;
use crate::symbols::Symbols;
use crate::workdir::Workdir;

/// Interval at which QEMU is checked.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// How a guest is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// QEMU's command line.
    pub qemu: Vec<OsString>,
    /// The kernel that UV_ESM has to find, where it is not `-kernel`.
    pub kernel: Option<PathBuf>,
    /// What is said about the ultravisor.
    pub settings: Settings,
    /// What its virtio disks and cards are.
    pub devices: Devices,
    /// The protocol violation of devices that are not QEMU's own.
    pub violation: Option<ProtocolViolation>,
    /// Whether the first hypercall that is wrong ends the guest.
    pub live: bool,
}

/// Why there was no run.
#[derive(Debug)]
pub enum RunError {
    /// The command line.
    Refused(Refused),
    /// A file of the run's own.
    File(io::Error),
    /// The file of guest memory that QEMU was given.
    Ram(PathBuf, io::Error),
    /// A server in a device's place.
    Server(ServerError),
    /// QEMU did not start.
    Qemu(io::Error),
    /// QEMU ended before the guest began, in this way.
    Ended(ExitStatus),
    /// No signals can be waited for.
    Signals(io::Error),
    /// The key in the TPM's place.
    Key(BlobError),
    /// The ultravisor.
    Ultravisor(UvError),
    /// QEMU's log, or the JSON file.
    Log(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::File(error) => write!(f, "temporary files: {error}"),
            Self::Ram(path, error) => write!(f, "guest memory {}: {error}", path.display()),
            Self::Server(error) => write!(f, "{error}"),
            Self::Qemu(error) => write!(f, "QEMU cannot be started: {error}"),
            Self::Ended(status) => write!(f, "QEMU ended before its guest began: {status}"),
            Self::Signals(error) => write!(f, "signals: {error}"),
            Self::Key(error) => write!(f, "{error}"),
            Self::Ultravisor(error) => write!(f, "{error}"),
            Self::Log(error) => write!(f, "log: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a guest to its end: how QEMU ended, and what was seen.
///
/// # Errors
/// [`RunError`]; no QEMU is left behind.
pub fn run(options: &Run, mut say: impl FnMut(&str)) -> Result<(ExitStatus, Summary), RunError> {
    let mut line = CommandLine::read(&options.qemu).map_err(RunError::Refused)?;
    let kernel =
        options.kernel.clone().or(line.kernel.clone()).ok_or(RunError::Refused(Refused::NoKernel))?;
    // Checked before QEMU starts, so that an error leaves nothing to clean up.
    crate::image::KernelImage::load(&kernel).map_err(|error| RunError::Ultravisor(UvError::Kernel(error)))?;
    let mut config = options.settings.config(&kernel, line.firmware).map_err(RunError::Key)?;
    config.live_hcalls = options.live;
    let mut files = Workdir::new().map_err(RunError::File)?;
    let servers = stand_in(options, &mut line, files.root(), &mut say)?;
    let (socket, fifo) = (files.path("gdb"), files.path("log"));
    let ram = files.memory(line.memory).map_err(RunError::File)?;
    File::create(&ram).and_then(|file| file.set_len(line.memory)).map_err(RunError::File)?;
    let log = match &line.log {
        Some(_) if options.live => {
            return Err(RunError::Refused(Refused::Option(
                "-D".to_owned(),
                "--live-hcalls reads the log as it is written; leave -D out",
            )));
        }
        Some(path) => Log::File(path.clone()),
        None => Log::pipe(&fifo, files.path("events")).map_err(RunError::File)?,
    };
    let added = line.added(&socket, &ram, &fifo);
    say(&format!("added to QEMU's command line: {}", shown(&added)));
    for device in &line.bypassing {
        say(&format!(
            "{device} has no iommu_platform=on: what it reaches is not seen here, and it would fail on hardware"
        ));
    }
    let stop = signals().map_err(RunError::Signals)?;
    let (program, arguments) = line.words.split_first().ok_or(RunError::Refused(Refused::Empty))?;
    let child = Command::new(program).args(arguments).args(&added).spawn().map_err(RunError::Qemu)?;
    let mut qemu = Qemu(child);
    while !socket.exists() {
        if let Some(status) = qemu.0.try_wait().map_err(RunError::Qemu)? {
            return Err(RunError::Ended(status));
        }
        std::thread::sleep(TICK);
    }
    let ultravisor = crate::attach(&socket, &ram, line.memory, config).map_err(RunError::Ultravisor)?;
    servers.ask(&ultravisor.share_map());
    let mut live = options.live.then(|| Live::new(ultravisor.share_map(), line.memory));
    let mut cut_short = None;
    let status = loop {
        if let Some(status) = qemu.0.try_wait().map_err(RunError::Qemu)? {
            break status;
        }
        if cut_short.is_none()
            && let (Some(live), Some(requests)) = (&mut live, log.requests())
        {
            cut_short = live.check(&requests).map(|what| CutShort { what, by: Vec::new() });
            if cut_short.is_some() {
                // SIGTERM, not SIGKILL: a wrapper before QEMU in the command line must pass the signal on.
                qemu.end();
            }
        }
        if stop.swap(false, Ordering::Relaxed) {
            qemu.end();
        }
        std::thread::sleep(TICK);
    };
    let report = ultravisor.join();
    let accounts = servers.finish().map_err(RunError::Server)?;
    let said = log.finish(&report.calls).map_err(RunError::Log)?;
    let hypercalls = Hypercalls::judge(&said.requests, &report, line.memory, &Symbols::load(&kernel));
    let cut_short = report.cut_short.clone().or(cut_short);
    let summary = Summary {
        report,
        devices: Some(said.devices),
        hypercalls: Some(hypercalls),
        accounts,
        cut_short,
        append: line.append,
        kernel: Kernel::load(&kernel),
        firmware: line.firmware,
        bypassing: line.bypassing,
    };
    if let Some(path) = &options.settings.json {
        summary.write_json(path).map_err(RunError::Log)?;
    }
    Ok((status, summary))
}

/// Starts servers, and puts them into the command line.
fn stand_in(
    options: &Run,
    line: &mut CommandLine,
    dir: &Path,
    say: &mut impl FnMut(&str),
) -> Result<Servers, RunError> {
    if options.devices == Devices::Own {
        return Ok(Servers::default());
    }
    let plan = Plan::read(&line.words, dir).map_err(RunError::Refused)?;
    options.violation.map_or(Ok(()), |violation| plan.check(violation)).map_err(RunError::Refused)?;
    for device in &plan.devices {
        say(&format!("{} in QEMU's command line: {} became {}", device.name, device.replaced, device.by));
    }
    let refuse = options.devices == Devices::Refusing;
    let servers = Servers::start(&plan.devices, refuse, options.violation, dir).map_err(RunError::Server)?;
    line.words = plan.words;
    // The servers account for accesses that bypass the unit.
    line.bypassing.clear();
    Ok(servers)
}

/// QEMU's exit status as a shell shows it.
#[must_use]
pub fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

pub(super) fn signals() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mark = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&mark))?;
    }
    Ok(mark)
}

/// QEMU, which never outlives its ultravisor.
struct Qemu(Child);

impl Qemu {
    /// Asks it to end, as a terminal would.
    fn end(&self) {
        if let Ok(pid) = i32::try_from(self.0.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
