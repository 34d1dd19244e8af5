//! An emulated ultravisor beside stock QEMU: it serves the guest's `sc 2` through QEMU's gdb server, and keeps the map of
//! shared frames outside the guest.
//!
//! QEMU has to be started with `-S`, a gdb server on a Unix socket, and its RAM in a shared file:
//! ```text
//! -S -chardev socket,id=g,path=SOCKET,server=on,wait=off -gdb chardev:g
//! -object memory-backend-file,id=m,size=SIZE,mem-path=FILE,share=on -machine memory-backend=m
//! ```

pub mod call;
pub mod condition;
pub mod counts;
pub mod cut_short;
pub mod devices;
pub mod doctor;
pub mod esm;
pub mod fault;
pub mod fdt;
pub mod fifo;
mod files;
pub mod firmware;
pub mod frames;
pub mod gdb;
mod general;
pub mod guest;
pub mod hcalls;
pub mod host;
pub mod image;
pub mod inject;
pub mod keeper;
mod locks;
pub mod log;
pub mod machine;
pub mod poison;
pub mod publish;
mod ram;
pub mod random;
pub mod requests;
mod rtas;
#[cfg(test)]
mod scratch;
pub mod secure_bit;
mod serve;
pub mod shown;
mod sites;
pub mod strict;
pub mod symbols;
mod tap;
pub mod tool;
pub mod trace;
pub mod ultracalls;
pub mod violation;
pub mod wiring;
pub mod workdir;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

pub use condition::{Conditions, Poison};
pub use esm::{EsmReport, Outcome, Requirement};
pub use fault::{FaultError, Faults};
pub use firmware::Firmware;
pub use frames::{FRAME_SHIFT, FRAME_SIZE, ShareMap};
pub use guest::Guest;
pub use image::ImageError;
pub use log::CallRecord;
pub use machine::{Behaviour, Violation};
pub use publish::slof_arguments;

use crate::gdb::GdbError;

/// How an ultravisor behaves in one run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which description it follows.
    pub behaviour: Behaviour,
    /// Faults that it commits on purpose.
    pub faults: Faults,
    /// With [`Firmware::Bios`]: ranges, as address and size, that the tree reserves from the start. Each is filled
    /// with [`publish::MARK`], so that a test can see whether anything wrote there.
    pub reserve: Vec<(u64, u64)>,
    /// With [`Firmware::Bios`]: changes to the tree, made before the first instruction.
    pub edits: Vec<doctor::Edit>,
    /// What the host does with hypercalls that a secure guest makes.
    pub host: Vec<host::Rule>,
    /// The host's attack on the guest's running CPUs.
    pub attack: Option<inject::Attack>,
    /// Whether each hypercall passes and returns only its own registers, and the seed for the values of the others.
    pub registers: Option<u64>,
    /// What kind of guest it is.
    pub guest: Guest,
    /// What started the guest, which decides what UV_ESM may require of the tree.
    pub firmware: Firmware,
    /// The kernel's file, for comparison at UV_ESM.
    pub kernel_elf: PathBuf,
    /// The private key in the TPM's place: the guest has to bring an ESM blob with a lockbox for it.
    pub tpm: Option<esm_blob::PrivateKey>,
    /// Whether the first wrong hypercall of a guest of any kind ends the machine.
    pub live_hcalls: bool,
    /// Where the call log goes, as JSON lines.
    pub log: Option<PathBuf>,
    /// With [`Firmware::Bios`]: add the node `/ibm,ultravisor` to the tree before the first instruction. SLOF
    /// is told by [`slof_arguments`] instead; VOF cannot be told.
    pub publish_node: bool,
}

impl Config {
    /// An honest host, the published ultravisor, and the guest that this project is about.
    #[must_use]
    pub fn new(kernel_elf: PathBuf, firmware: Firmware) -> Self {
        Self {
            behaviour: Behaviour::Published,
            faults: Faults::none(),
            reserve: Vec::new(),
            edits: Vec::new(),
            host: Vec::new(),
            attack: None,
            registers: None,
            guest: Guest::Strict,
            firmware,
            kernel_elf,
            tpm: None,
            live_hcalls: false,
            log: None,
            publish_node: firmware == Firmware::Bios,
        }
    }
}

/// Why the ultravisor did not start, or ended early.
#[derive(Debug)]
pub enum UvError {
    /// The gdb server.
    Gdb(GdbError),
    /// The RAM file.
    Ram(io::Error),
    /// The kernel's file.
    Kernel(ImageError),
    /// The call log.
    Log(io::Error),
    /// No tree to publish the node in.
    Publish(Requirement),
    /// No thread for the ultravisor to run in.
    Thread(io::Error),
}

impl fmt::Display for UvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gdb(error) => write!(f, "ultravisor: {error}"),
            Self::Ram(error) => write!(f, "ultravisor: guest RAM: {error}"),
            Self::Kernel(error) => write!(f, "ultravisor: kernel file: {error}"),
            Self::Log(error) => write!(f, "ultravisor: call log: {error}"),
            Self::Publish(missing) => write!(f, "ultravisor: cannot publish its node, lacking: {missing}"),
            Self::Thread(error) => write!(f, "ultravisor: thread: {error}"),
        }
    }
}

impl std::error::Error for UvError {}

impl From<GdbError> for UvError {
    fn from(error: GdbError) -> Self {
        Self::Gdb(error)
    }
}

/// How an ultravisor's work ended.
#[derive(Debug)]
pub enum End {
    /// With QEMU.
    QemuEnded,
    /// Before QEMU: nobody answered the guest's later calls.
    Failed(UvError),
}

/// What an ultravisor saw in one run.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// Whether the guest was secure at the end.
    pub secure: bool,
    /// All ultracalls, in order.
    pub calls: Vec<CallRecord>,
    /// Every UV_ESM that got as far as reading the tree.
    pub esm: Vec<EsmReport>,
    /// Rules that the guest broke.
    pub violations: Vec<Violation>,
    /// The hypercalls that the host's rules matched.
    pub host: Vec<host::Seen>,
    /// Number of hypercalls that passed and returned only their own registers.
    pub disciplined: u64,
    /// The result of an attack on its CPUs.
    pub attacked: inject::Attacked,
    /// Frames shared at any time before each UV_UNSHARE_ALL_PAGES of a guest of any kind, since the one before.
    pub left_shared: Vec<Vec<Range<u64>>>,
    /// Frames (64 KiB) shared at the end, as runs.
    pub shared: Vec<Range<u64>>,
    /// Frames shared at any time, or since the last of these calls, as runs.
    pub ever_shared: Vec<Range<u64>>,
    /// Where a guest of any kind reads MSR, and tests MSR\[S\].
    pub secure_bit: secure_bit::SecureBit,
    /// Those tests that were changed, by function.
    pub patched: Vec<String>,
    /// Where the kernel was when it made its last ultracall.
    pub kernel: u64,
    /// The hypercall that ended the machine.
    pub cut_short: Option<cut_short::CutShort>,
    /// QEMU's devices before a guest of any kind began.
    pub wiring: wiring::Wiring,
    /// Kernels that a guest of any kind left for.
    pub next_kernels: Vec<ultracalls::NextKernel>,
    /// A guest of kind [`Guest::Any`] ran programs before any UV_ESM, so none was expected any more.
    pub ordinary: bool,
}

/// An ultravisor that runs in its own thread.
#[derive(Debug)]
pub struct Ultravisor {
    map: Arc<ShareMap>,
    thread: JoinHandle<Report>,
}

/// Attaches an ultravisor to a guest that is stopped at reset (`-S`), and lets the guest run. QEMU's RAM file must exist;
/// the socket may take a while to appear.
///
/// # Errors
/// [`UvError`]; the guest is then still at reset.
pub fn attach(
    gdb_socket: &Path,
    guest_ram: &Path,
    ram_size: u64,
    config: Config,
) -> Result<Ultravisor, UvError> {
    let mut server = serve::Server::prepare(gdb_socket, guest_ram, ram_size, config)?;
    server.resume()?;
    let map = server.share_map();
    let thread = std::thread::Builder::new().name("ultravisor".to_owned()).spawn(move || server.run());
    Ok(Ultravisor { map, thread: thread.map_err(UvError::Thread)? })
}

impl Ultravisor {
    /// The map of frames, which can be read at any time.
    #[must_use]
    pub fn share_map(&self) -> Arc<ShareMap> {
        Arc::clone(&self.map)
    }

    /// Whether its work is done, which it is when QEMU has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until QEMU has ended, for whatever reason, and returns the report. Does not end QEMU.
    #[must_use]
    pub fn join(self) -> Report {
        match self.thread.join() {
            Ok(report) => report,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
