//! Attaches the ultravisor to a QEMU that somebody else started.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::absent::Kernel;
use super::hypercalls::Hypercalls;
use super::log::Log;
use super::run::{RunError, TICK, signals};
use super::settings::Settings;
use super::summary::Summary;
use crate::Firmware;
use crate::symbols::Symbols;

/// How long QEMU may take to make the file of its memory.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The QEMU, and what is said about it.
#[derive(Clone, Debug)]
pub struct Attach {
    /// The socket of its gdb server. It has to stand at reset (`-S`).
    pub gdb: PathBuf,
    /// The file that is its memory (`share=on`).
    pub ram: PathBuf,
    /// The ELF file of its kernel.
    pub kernel: PathBuf,
    /// What starts the guest.
    pub firmware: Firmware,
    /// Its log (`-D`), with `-d int`, `-trace spapr_iommu_xlate` and `-msg timestamp=on`.
    pub log: Option<PathBuf>,
    /// What is said about the ultravisor.
    pub settings: Settings,
}

/// Serves until QEMU ends, and returns the summary. `None` if a signal came first; QEMU then goes on without an
/// ultravisor.
///
/// # Errors
/// [`RunError`]; the guest is then still at reset.
pub fn attach(options: &Attach, mut say: impl FnMut(&str)) -> Result<Option<Summary>, RunError> {
    let Attach { gdb, ram, kernel, firmware, log, settings } = options;
    crate::image::KernelImage::load(kernel)
        .map_err(|error| RunError::Ultravisor(crate::UvError::Kernel(error)))?;
    let config = settings.config(kernel, *firmware).map_err(RunError::Key)?;
    let stop = signals().map_err(RunError::Signals)?;
    let bytes = size(ram, &stop).map_err(|error| RunError::Ram(ram.clone(), error))?;
    let ultravisor = crate::attach(gdb, ram, bytes, config).map_err(RunError::Ultravisor)?;
    say("attached; the guest runs");
    while !ultravisor.has_ended() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        std::thread::sleep(TICK);
    }
    let report = ultravisor.join();
    let said = log.clone().map(|log| Log::File(log).finish(&report.calls)).transpose();
    let (mut devices, mut hypercalls) = (None, None);
    if let Some(said) = said.map_err(RunError::Log)? {
        hypercalls = Some(Hypercalls::judge(&said.requests, &report, bytes, &Symbols::load(kernel)));
        devices = Some(said.devices);
    }
    let (append, bypassing) = (String::new(), Vec::new());
    let (kernel, firmware, accounts) = (Kernel::load(kernel), *firmware, Vec::new());
    let summary = Summary {
        report,
        devices,
        hypercalls,
        accounts,
        cut_short: None,
        append,
        kernel,
        firmware,
        bypassing,
    };
    if let Some(path) = &settings.json {
        summary.write_json(path).map_err(RunError::Log)?;
    }
    Ok(Some(summary))
}

/// Bytes of the file that QEMU makes for its memory, once they are there.
fn size(ram: &Path, stop: &AtomicBool) -> io::Result<u64> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match std::fs::metadata(ram) {
            Ok(file) if file.len() > 0 => return Ok(file.len()),
            Ok(_) if Instant::now() < deadline => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {}
            Ok(_) => return Err(io::Error::other("the file is empty")),
            Err(error) => return Err(error),
        }
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        std::thread::sleep(TICK);
    }
}
