//! Why a run ends early: each layer's own error, and the exit status that stands for it.

use crate::devices::DeviceError;
use crate::memory::mmu::MmuError;
use core::fmt;
use postern_core::exit::ExitStatus;
use postern_core::secure::Contradiction;
use pseries_tree::FdtError;
use pseries_tree::MachineError;
use svm_dma::accept::AcceptError;
use svm_dma::memory_map::MapError;
use svm_dma::share::ShareError;

/// An error that ends the run.
#[derive(Debug)]
pub enum Stop {
    /// The tree is malformed.
    Tree(FdtError),
    /// The tree describes no machine that can be run.
    Machine(MachineError),
    /// That many words of the command line cannot be followed; each was reported.
    CommandLine(usize),
    /// What the platform says about secure mode contradicts itself.
    Secure(Contradiction),
    /// UV_ESM is due, but the boot stage has not issued it.
    EsmNotIssued,
    /// Owners of memory overlap, or there is no room for heap or pool.
    Map(MapError),
    /// No range could be shared.
    Pool(ShareError),
    /// No memory could be proved to be this VM's.
    Accept(AcceptError),
    /// Translation cannot be turned on.
    Mmu(MmuError),
    /// A device, or a job on it.
    Device(DeviceError),
}

/// A failure that stands for an exit status.
pub trait Failed: fmt::Display {
    /// The status to exit with.
    fn status(&self) -> ExitStatus;
}

impl Failed for DeviceError {
    fn status(&self) -> ExitStatus {
        self.status()
    }
}

impl Failed for Stop {
    fn status(&self) -> ExitStatus {
        self.status()
    }
}

impl Stop {
    /// The status to exit with.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Tree(_) | Self::Machine(_) => ExitStatus::BadDeviceTree,
            Self::Map(error) if error.is_shortage() => ExitStatus::OutOfMemory,
            Self::Map(_) => ExitStatus::BadDeviceTree,
            Self::Accept(_) => ExitStatus::OutOfMemory,
            Self::CommandLine(_) => ExitStatus::BadCommandLine,
            Self::Secure(_) | Self::EsmNotIssued => ExitStatus::SecureModeFailed,
            Self::Pool(_) => ExitStatus::PoolNotShared,
            Self::Mmu(_) => ExitStatus::PlatformRefused,
            Self::Device(error) => error.status(),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => write!(f, "bad device tree: {error}"),
            Self::Machine(error) => error.fmt(f),
            Self::CommandLine(words) => write!(f, "bad command line: {words} words"),
            Self::Secure(error) => error.fmt(f),
            Self::EsmNotIssued => f.write_str("UV_ESM is due, but was not issued"),
            Self::Map(error) => error.fmt(f),
            Self::Pool(error) => write!(f, "no pool: {error}"),
            Self::Accept(error) => write!(f, "no private memory: {error}"),
            Self::Mmu(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
        }
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {$(
        impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    FdtError => Tree,
    MachineError => Machine,
    Contradiction => Secure,
    MapError => Map,
    ShareError => Pool,
    AcceptError => Accept,
    MmuError => Mmu,
    DeviceError => Device,
}
