//! Starts QEMU with an ultravisor under its guest, and waits for its end.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::blob::{BlobError, private_key};
use super::qemu::{CommandLine, Refused, shown};
use super::summary::Summary;
use crate::devices::{Devices, judge};
use crate::workdir::Workdir;
use crate::{Behaviour, Config, Faults, Firmware, Guest, UvError};

/// How often QEMU is looked at.
const TICK: Duration = Duration::from_millis(10);

/// How a guest is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// QEMU's command line.
    pub qemu: Vec<OsString>,
    /// The kernel that UV_ESM has to find, where it is not `-kernel`.
    pub kernel: Option<PathBuf>,
    /// Whether tests of MSR\[S\] are changed.
    pub patch: bool,
    /// Which description the ultravisor follows.
    pub behaviour: Behaviour,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Where calls go, and the summary, as JSON lines.
    pub json: Option<PathBuf>,
    /// The private key in the TPM's place, as PEM: UV_ESM opens the guest's ESM blob with it.
    pub key: Option<PathBuf>,
}

/// Why there was no run.
#[derive(Debug)]
pub enum RunError {
    /// The command line.
    Refused(Refused),
    /// A file of the run's own.
    File(io::Error),
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
    let line = CommandLine::read(&options.qemu).map_err(RunError::Refused)?;
    let kernel =
        options.kernel.clone().or(line.kernel.clone()).ok_or(RunError::Refused(Refused::NoKernel))?;
    // Looked at before QEMU starts: the message is the same, and nothing has to be taken down.
    crate::image::KernelImage::load(&kernel).map_err(|error| RunError::Ultravisor(UvError::Kernel(error)))?;
    let tpm = options.key.as_deref().map(private_key).transpose().map_err(RunError::Key)?;
    let mut files = Workdir::new().map_err(RunError::File)?;
    let (socket, own_log) = (files.path("gdb"), files.path("log"));
    let ram = files.memory(line.memory).map_err(RunError::File)?;
    File::create(&ram).and_then(|file| file.set_len(line.memory)).map_err(RunError::File)?;
    let added = line.added(&socket, &ram, &own_log);
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
    let config = Config {
        tpm,
        behaviour: options.behaviour,
        faults: options.faults.clone(),
        reserve: Vec::new(),
        edits: Vec::new(),
        host: Vec::new(),
        attack: None,
        registers: None,
        guest: Guest::Any { patch_msr: options.patch },
        firmware: line.firmware,
        kernel_elf: kernel,
        log: options.json.clone(),
        publish_node: line.firmware == Firmware::Bios,
    };
    let ultravisor = crate::attach(&socket, &ram, line.memory, config).map_err(RunError::Ultravisor)?;
    let status = loop {
        if let Some(status) = qemu.0.try_wait().map_err(RunError::Qemu)? {
            break status;
        }
        if stop.swap(false, Ordering::Relaxed) {
            qemu.end();
        }
        std::thread::sleep(TICK);
    };
    let report = ultravisor.join();
    let devices = devices(&line.log.clone().unwrap_or(own_log), &report).map_err(RunError::Log)?;
    let summary = Summary { report, devices, append: line.append, bypassing: line.bypassing };
    if let Some(path) = &options.json {
        summary.write_json(path).map_err(RunError::Log)?;
    }
    Ok((status, summary))
}

/// QEMU's exit status as a shell shows it.
#[must_use]
pub fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn devices(log: &PathBuf, report: &crate::Report) -> io::Result<Devices> {
    match File::open(log) {
        Ok(file) => judge(BufReader::new(file), &report.calls),
        // QEMU makes it with its first line.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Devices::default()),
        Err(error) => Err(error),
    }
}

fn signals() -> io::Result<Arc<AtomicBool>> {
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
