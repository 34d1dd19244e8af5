//! Common parts of the boot tests: a machine with its own disks, its start, and the checks of its end.

use crate::disk::{self, Disk};
use crate::finding::Finding;
use crate::qemu::command::Machine;
use crate::qemu::process::Output;
use crate::run::INITRD;
use crate::session::{Finished, Protection, Session};
use crate::variable::{Cpu, Firmware};
use postern_ultravisor::workdir::Workdir;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Longest time of a guest from reset to its end; it only ends guests that hang. On a busy host five seconds of firmware
/// can take two minutes.
pub const LIMIT: Duration = Duration::from_secs(900);
/// The guest's line when it serves the network.
pub const SERVING: &str = "postern: net0.serve=ready";
/// The guest's line when its monitor accepts commands.
pub const MONITOR: &str = "postern: monitor=ready";
/// The line before it when the status page is served, too.
pub const PAGE: &str = "postern: net0.page=on";

/// Bytes of a DMA window that holds any pool of these tests.
const SMALL_WINDOW: u64 = 64 << 20;

/// The programs under test.
#[derive(Clone, Debug)]
pub struct Context {
    /// QEMU.
    pub qemu: PathBuf,
    /// The product.
    pub kernel: PathBuf,
    /// The test image: its steps measure, disturb and break rules, and it plants canaries.
    pub test_image: PathBuf,
    /// The image that maps a page it never shared.
    pub sabotage: PathBuf,
    /// The test image that gives its devices private buffers.
    pub skip_bounce: PathBuf,
    /// The image that waits for locks without a limit, prints private data and leaves its secret in memory.
    pub careless: PathBuf,
    /// The ROM.
    pub rom: PathBuf,
}

impl Context {
    /// The same with the test image in the product's place, for tests that need its words.
    #[must_use]
    pub fn on_test_image(&self) -> Self {
        Self { kernel: self.test_image.clone(), ..self.clone() }
    }
}

#[cfg(test)]
impl Context {
    pub(crate) fn for_tests() -> Self {
        Self {
            qemu: "qemu".into(),
            kernel: "k".into(),
            test_image: "t".into(),
            sabotage: "s".into(),
            skip_bounce: "b".into(),
            careless: "c".into(),
            rom: "r".into(),
        }
    }
}

/// A test that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why; at least one reason.
    pub findings: Vec<Finding>,
    /// What its guest wrote, if there was one.
    pub output: Option<Output>,
}

impl Failure {
    /// The reason for which the test was skipped, if it has no other finding.
    #[must_use]
    pub fn skipped(&self) -> Option<&str> {
        match &self.findings[..] {
            [Finding::Skipped(why)] => Some(why),
            _ => None,
        }
    }
}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], output: None }
    }
}

/// A guest's configuration.
#[derive(Clone, Copy, Debug)]
pub struct GuestConfig {
    /// Firmware.
    pub firmware: Firmware,
    /// Whether there is an ultravisor, and the guest is told to use it.
    pub secure: bool,
    /// Whether devices offer VIRTIO_F_ACCESS_PLATFORM.
    pub access_platform: bool,
    /// Whether the host bridge offers further DMA windows beside the default one.
    pub dynamic_windows: bool,
    /// Whether the default DMA window has QEMU's 1 GiB. A guest reads its whole window back at the end, which takes
    /// seconds with an ultravisor; tests that are not about the window use [`SMALL_WINDOW`].
    pub whole_window: bool,
    /// vCPU model.
    pub cpu: Cpu,
    /// Whether the hypervisor offers vector registers.
    pub vectors: bool,
    /// Number of vCPUs.
    pub smp: u32,
    /// Virtqueues of a disk, if not as many as vCPUs.
    pub queues: Option<u32>,
    /// MiB of memory.
    pub mebibytes: u64,
}

impl GuestConfig {
    /// A POWER9 with one vCPU and 512 MiB.
    #[must_use]
    pub const fn new(firmware: Firmware, secure: bool, access_platform: bool) -> Self {
        Self {
            firmware,
            secure,
            access_platform,
            dynamic_windows: true,
            whole_window: false,
            cpu: Cpu::Power9,
            vectors: true,
            smp: 1,
            queues: None,
            mebibytes: 512,
        }
    }
}

/// One test's files and machine.
#[derive(Debug)]
pub struct Fixture {
    /// Its files.
    pub dir: Workdir,
    /// Its machine; tests add to it.
    pub machine: Machine,
    /// Its ultravisor.
    pub protection: Option<Protection>,
}

impl Fixture {
    /// A machine of this configuration without devices.
    ///
    /// # Errors
    /// A file could not be made.
    pub fn new(context: &Context, config: GuestConfig) -> Result<Self, Failure> {
        let dir = Workdir::new().map_err(|error| Finding::File(std::env::temp_dir(), error))?;
        let initrd = dir.path("initrd");
        std::fs::write(&initrd, INITRD).map_err(|error| Finding::File(initrd.clone(), error))?;
        let publish_node = config.firmware != Firmware::Vof;
        let machine = Machine {
            firmware: config.firmware,
            initrd: Some(initrd),
            cpu: config.cpu,
            smp: config.smp,
            extra: queues(config.queues).into_iter().chain(without_vectors(config.vectors)).collect(),
            memory: config.mebibytes << 20,
            access_platform: config.access_platform,
            dynamic_windows: config.dynamic_windows,
            dma_window: (!config.whole_window).then_some(SMALL_WINDOW),
            bootargs: if config.secure && !publish_node { "svm=emulated".to_owned() } else { String::new() },
            ..Machine::new(context.qemu.clone(), context.kernel.clone(), context.rom.clone())
        };
        let protection = config.secure.then(|| Protection::honest(publish_node));
        Ok(Self { dir, machine, protection })
    }

    /// Adds a word to the kernel command line.
    pub fn word(&mut self, word: &str) {
        if !self.machine.bootargs.is_empty() {
            self.machine.bootargs.push(' ');
        }
        self.machine.bootargs.push_str(word);
    }

    /// Adds a data disk of random content and returns its image.
    ///
    /// # Errors
    /// The image could not be made.
    pub fn data_disk(&mut self, bytes: u64) -> Result<PathBuf, Failure> {
        let path = self.dir.path("data");
        disk::make(&path, bytes, seed()).map_err(|error| Finding::File(path.clone(), error))?;
        self.machine.disks.push(Disk::data(path.clone()));
        Ok(path)
    }

    /// Adds an empty disk for the guest to overwrite and returns its image.
    ///
    /// # Errors
    /// The image could not be made.
    pub fn scratch_disk(&mut self, bytes: u64) -> Result<PathBuf, Failure> {
        let path = self.dir.path("scratch");
        disk::make_empty(&path, bytes).map_err(|error| Finding::File(path.clone(), error))?;
        self.machine.disks.push(Disk::scratch(path.clone()));
        Ok(path)
    }

    /// Starts the guest.
    ///
    /// # Errors
    /// It did not start.
    pub fn start(&mut self) -> Result<Session, Failure> {
        let started = Session::start(self.machine.clone(), self.protection.clone(), &mut self.dir, None);
        Ok(started.map_err(Finding::Start)?)
    }

    /// Starts the guest and waits for its end.
    ///
    /// # Errors
    /// It did not start.
    pub fn boot(&mut self) -> Result<Finished, Failure> {
        Ok(self.start()?.finish(LIMIT))
    }
}

fn queues(count: Option<u32>) -> Vec<String> {
    let global = |count| ["-global".to_owned(), format!("virtio-blk-device.num-queues={count}")];
    count.into_iter().flat_map(global).collect()
}

fn without_vectors(offered: bool) -> impl Iterator<Item = String> {
    ["-machine", "cap-vsx=off"].map(str::to_owned).into_iter().filter(move |_| !offered)
}

/// No findings, or a failure that shows what the guest wrote.
///
/// # Errors
/// There are findings.
pub fn verdict(finished: Finished, findings: Vec<Finding>) -> Result<(), Failure> {
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(finished.output) }) }
}

/// A different number for each call.
#[must_use]
pub fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    crate::pattern::splitmix64(u64::try_from(now.as_nanos()).unwrap_or(u64::from(now.subsec_nanos())))
}
