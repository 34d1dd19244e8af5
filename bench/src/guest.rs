//! One guest of one system, from QEMU's start to its end.

use crate::linux::Linux;
use crate::plan::{Backend, System};
use postern_harness::disk::Disk;
use postern_harness::guest::report::Report;
use postern_harness::qemu::command::Machine;
use postern_harness::qemu::monitor::{Forwarded, Monitor, MonitorError};
use postern_harness::qemu::process::{Ended, Qemu, StartError};
use postern_harness::run::INITRD;
use postern_harness::session::{Protection, Session, SessionError, last_line};
use postern_harness::variable::{Firmware, Net};
use postern_ultravisor::Guest as AnyGuest;
use postern_ultravisor::workdir::Workdir;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest that one guest may run.
const LIMIT: Duration = Duration::from_secs(120);
/// Size of a null device in bytes.
const NULL_BYTES: u64 = 256 << 20;

/// Why a measurement failed.
#[derive(Debug)]
pub enum GuestError {
    /// A file could not be made.
    Io(io::Error),
    /// QEMU did not start.
    Start(StartError),
    /// The guest did not start.
    Session(SessionError),
    /// QEMU's monitor.
    Monitor(MonitorError),
    /// The guest did not reach the state in which it serves.
    NeverReady,
    /// The guest did not end as expected.
    Ended(Ended, Option<u8>, String),
    /// The exchange with the guest's network services.
    Exchange(io::Error),
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Start(error) => write!(f, "{error}"),
            Self::Session(error) => write!(f, "{error}"),
            Self::Monitor(error) => write!(f, "{error}"),
            Self::NeverReady => f.write_str("the guest did not become ready"),
            Self::Ended(ended, status, line) => write!(f, "{ended}, guest's status {status:?}: {line}"),
            Self::Exchange(error) => write!(f, "network exchange: {error}"),
        }
    }
}

impl From<io::Error> for GuestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The files for guests.
#[derive(Clone, Debug)]
pub struct Parts {
    /// QEMU.
    pub qemu: PathBuf,
    /// Postern's test image: the product has no steps that measure.
    pub kernel: PathBuf,
    /// Postern with the disk driver of virtio-drivers, if it was built.
    pub virtio_drivers: Option<PathBuf>,
    /// Its ROM.
    pub rom: PathBuf,
    /// Linux, if it could be fetched.
    pub linux: Option<Linux>,
    /// Linux that can be a secure guest, if it was built.
    pub secure_linux: Option<Linux>,
    /// A file with the pattern of seed 1.
    pub raw: PathBuf,
}

/// A machine to measure.
#[derive(Clone, Debug)]
pub struct GuestConfig {
    /// The guest.
    pub system: System,
    /// Its disk.
    pub backend: Option<Backend>,
    /// Queue size of a disk without content, if not QEMU's 256.
    pub queue: Option<u16>,
    /// Whether it has a network card.
    pub network: bool,
    /// Its firmware.
    pub firmware: Firmware,
    /// Whether QEMU counts instructions: a nanosecond of the guest is one instruction then.
    pub counted: bool,
    /// CPUs.
    pub smp: u32,
    /// Its command line.
    pub words: String,
}

impl GuestConfig {
    /// One CPU, started by VOF, with a disk.
    pub fn disk(system: System, backend: Backend, words: String) -> Self {
        Self {
            system,
            backend: Some(backend),
            queue: None,
            network: false,
            firmware: Firmware::Vof,
            counted: false,
            smp: 1,
            words,
        }
    }

    /// One CPU, started by VOF, with a network card.
    pub fn network(system: System) -> Self {
        Self {
            backend: None,
            network: true,
            words: "run=net-serve".to_owned(),
            ..Self::disk(system, Backend::Null, String::new())
        }
    }
}

enum Running {
    Secure(Box<Session>),
    Plain(Qemu),
}

/// A guest that runs.
pub struct Guest {
    running: Running,
    monitor: PathBuf,
    started: Instant,
    _dir: Workdir,
}

impl Guest {
    /// Starts one; `None` if this guest does not exist here.
    pub fn start(parts: &Parts, config: &GuestConfig) -> Result<Option<Self>, GuestError> {
        let mut dir = Workdir::new()?;
        let started = if config.system.is_linux() {
            linux(parts, config)
        } else {
            kernel(parts, config).map(|kernel| postern(parts, kernel, config, &dir)).transpose()?
        };
        let Some(mut machine) = started else { return Ok(None) };
        machine.firmware = config.firmware;
        machine.memory = 1 << 30;
        machine.smp = config.smp;
        machine.access_platform = config.system.is_translated();
        if config.network {
            machine.net = Net::OneWay;
        }
        match config.backend {
            Some(Backend::Raw) => machine.disks.push(Disk::scratch(parts.raw.clone())),
            Some(Backend::Null | Backend::Threaded) => machine.extra.extend(null_disk(config)),
            None => {}
        }
        if config.counted {
            // With a disk the guest's clock may skip idle time; with a network it would run ahead of the peer's.
            let sleep = if config.network { "on" } else { "off" };
            machine.extra.extend(["-icount".to_owned(), format!("shift=0,sleep={sleep}")]);
        }
        let monitor = dir.path("monitor");
        let started = Instant::now();
        let running = if config.system.is_secure() {
            let mut protection = Protection::honest(config.firmware != Firmware::Vof);
            if config.system.is_linux() {
                protection.guest = AnyGuest::Any { patch_msr: true };
            }
            let session = Session::start_unobserved(machine, Some(protection), &mut dir);
            Running::Secure(Box::new(session.map_err(GuestError::Session)?))
        } else {
            machine.monitor = Some(monitor.clone());
            Running::Plain(Qemu::start(&machine, None).map_err(GuestError::Start)?)
        };
        Ok(Some(Self { running, monitor, started, _dir: dir }))
    }

    fn qemu(&self) -> &Qemu {
        match &self.running {
            Running::Secure(session) => &session.qemu,
            Running::Plain(qemu) => qemu,
        }
    }

    /// Waits for a fact, and returns the time since QEMU's start.
    pub fn until(&self, fact: &str) -> Result<Duration, GuestError> {
        let line = self.qemu().console().wait_for(LIMIT, |line| line.contains(fact));
        line.map(|_| self.started.elapsed()).ok_or(GuestError::NeverReady)
    }

    /// The loopback ports that are forwarded to its port 7.
    pub fn ports(&self) -> Result<Forwarded, GuestError> {
        let monitor = Monitor::connect(&self.monitor).and_then(|mut monitor| monitor.forwarded());
        monitor.map_err(GuestError::Monitor)
    }

    /// The loopback ports that are forwarded to this port of it.
    pub fn ports_of(&self, port: u16) -> Result<Forwarded, GuestError> {
        let monitor = Monitor::connect(&self.monitor).and_then(|mut monitor| monitor.forwarded_to(port));
        monitor.map_err(GuestError::Monitor)
    }

    /// Resident memory of QEMU, in bytes.
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.qemu().id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    /// Tells it to stop serving.
    pub fn quit(&mut self) {
        self.type_in(b"q\n");
    }

    /// Types this at its console.
    pub fn type_in(&mut self, text: &[u8]) {
        let qemu = match &mut self.running {
            Running::Secure(session) => &mut session.qemu,
            Running::Plain(qemu) => qemu,
        };
        // A guest that has ended already is checked by its end.
        drop(qemu.type_in(text));
    }

    /// Waits for its end and returns its facts.
    pub fn finish(self) -> Result<Report, GuestError> {
        let (ended, output, report) = match self.running {
            Running::Secure(session) => {
                let finished = (*session).finish(LIMIT);
                (finished.ended, finished.output, finished.report)
            }
            Running::Plain(qemu) => {
                let (ended, output) = qemu.wait(LIMIT);
                let report = Report::parse(&output.console);
                (ended, output, report)
            }
        };
        if ended == Ended::Exited(0) && report.exit_status == Some(0) {
            return Ok(report);
        }
        let line = last_line(&format!("{}\n{}", output.errors, output.console));
        Err(GuestError::Ended(ended, report.exit_status, line))
    }
}

/// The machine of one of the Linux systems, if that kernel exists.
fn linux(parts: &Parts, config: &GuestConfig) -> Option<Machine> {
    let linux = match config.system {
        System::LinuxSecure => parts.secure_linux.as_ref()?,
        _ => parts.linux.as_ref()?,
    };
    let secure = if config.system.is_secure() { "svm=on" } else { "" };
    let swiotlb = if config.system.is_bounced() { "swiotlb=force" } else { "" };
    Some(Machine {
        initrd: Some(linux.initrd.clone()),
        bootargs: format!("console=hvc0 quiet loglevel=0 {secure} {swiotlb} {}", config.words),
        ..Machine::new(parts.qemu.clone(), linux.kernel.clone(), parts.rom.clone())
    })
}

/// The image of one of Postern's systems. The image with virtio-drivers has only a disk driver.
fn kernel<'a>(parts: &'a Parts, config: &GuestConfig) -> Option<&'a Path> {
    match config.system {
        System::VirtioDrivers => parts.virtio_drivers.as_deref().filter(|_| !config.network),
        _ => Some(&parts.kernel),
    }
}

fn postern(parts: &Parts, kernel: &Path, config: &GuestConfig, dir: &Workdir) -> Result<Machine, GuestError> {
    let initrd = dir.path("initrd");
    std::fs::write(&initrd, INITRD)?;
    let mode = match (config.system.is_secure(), config.firmware) {
        (true, Firmware::Vof) => "svm=emulated",
        (true, _) => "",
        _ => "svm=off",
    };
    Ok(Machine {
        initrd: Some(initrd),
        bootargs: format!("{mode} {}", config.words),
        ..Machine::new(parts.qemu.clone(), kernel.to_owned(), parts.rom.clone())
    })
}

fn null_disk(config: &GuestConfig) -> Vec<String> {
    let translated = if config.system.is_translated() { "on" } else { "off" };
    let mut device =
        format!("virtio-blk-pci,drive=null,serial=scratch,disable-legacy=on,iommu_platform={translated}");
    let mut arguments =
        vec!["-blockdev".to_owned(), format!("driver=null-co,node-name=null,size={NULL_BYTES}")];
    if let Some(size) = config.queue {
        device.push_str(&format!(",queue-size={size}"));
    }
    if config.backend == Some(Backend::Threaded) {
        arguments.extend(["-object", "iothread,id=own"].map(str::to_owned));
        device.push_str(",iothread=own");
    }
    arguments.extend(["-device".to_owned(), device]);
    arguments
}

/// Writes the file of [`Parts::raw`].
pub fn make_raw(path: &Path, bytes: usize) -> io::Result<()> {
    let mut content = vec![0; bytes];
    postern_harness::pattern::fill(1, &mut content);
    std::fs::write(path, content)
}
