//! `attach`: an ultravisor for a QEMU that somebody started by hand, as docs/qemu-by-hand.md says.

use crate::options::Options;
use crate::run::{FAILED, INTERRUPTED};
use crate::say;
use crate::variable::Firmware;
use crate::{interrupt, out};
use postern_ultravisor::{Config, UvError};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long QEMU may take to make the file of its memory.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often QEMU is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Why there is no ultravisor.
#[derive(Debug)]
pub enum AttachError {
    /// A variable that has no default.
    NotGiven(&'static str),
    /// The file of guest memory.
    Ram(PathBuf, io::Error),
    /// The ultravisor.
    Ultravisor(UvError),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGiven(name) => write!(f, "{name}: not given; docs/qemu-by-hand.md says what QEMU needs"),
            Self::Ram(path, error) => write!(f, "RAM={}: {error}", path.display()),
            Self::Ultravisor(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for AttachError {}

/// Serves a QEMU that stands at reset until it ends, says what was seen, and answers the exit status.
///
/// # Errors
/// See [`AttachError`]; the guest is then still at reset.
pub fn attach(options: &Options) -> Result<u8, AttachError> {
    let gdb = options.gdb.as_deref().ok_or(AttachError::NotGiven("GDB"))?;
    let ram = options.ram.as_deref().ok_or(AttachError::NotGiven("RAM"))?;
    let bytes = size(ram).map_err(|error| AttachError::Ram(ram.to_path_buf(), error))?;
    let config = Config {
        tpm: None,
        behaviour: options.behaviour,
        faults: options.faults.clone(),
        reserve: Vec::new(),
        edits: Vec::new(),
        host: Vec::new(),
        attack: None,
        registers: None,
        guest: postern_ultravisor::Guest::Strict,
        firmware: options.firmware,
        kernel_elf: options.kernel.clone(),
        log: options.log.clone(),
        publish_node: options.firmware == Firmware::Bios,
    };
    let ultravisor = postern_ultravisor::attach(gdb, ram, bytes, config).map_err(AttachError::Ultravisor)?;
    say!("ultravisor: attached; the guest runs");
    while !ultravisor.has_ended() {
        if interrupt::requested() || out::is_unheard() {
            eprintln!("postern: interrupted; QEMU goes on without an ultravisor");
            return Ok(INTERRUPTED);
        }
        std::thread::sleep(TICK);
    }
    let report = ultravisor.join();
    for line in
        report.esm.iter().flat_map(|esm| esm.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        say!("ultravisor: {line}");
    }
    for violation in &report.violations {
        say!("ultravisor: {violation}");
    }
    let address = |frame: u64| frame.saturating_mul(postern_ultravisor::FRAME_SIZE);
    let shown = |run: &Range<u64>| format!("{:#x} to {:#x}", address(run.start), address(run.end));
    let shared: Vec<_> = report.shared.iter().map(shown).collect();
    say!("ultravisor: shared: {}", if shared.is_empty() { "nothing".to_owned() } else { shared.join(", ") });
    if let postern_ultravisor::End::Failed(error) = &report.end {
        eprintln!("postern: {error}");
        return Ok(FAILED);
    }
    if !report.secure {
        eprintln!("postern: the guest never became secure");
        return Ok(FAILED);
    }
    Ok(0)
}

/// Bytes of the file that QEMU makes for its memory, once they are there.
fn size(ram: &Path) -> io::Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match std::fs::metadata(ram) {
            Ok(file) if file.len() > 0 => return Ok(file.len()),
            Ok(_) if Instant::now() < deadline => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {}
            Ok(_) => return Err(io::Error::other("the file is empty")),
            Err(error) => return Err(error),
        }
        if interrupt::requested() {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        std::thread::sleep(TICK);
    }
}
