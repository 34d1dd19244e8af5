//! Why a run ends early: each layer's own error, and its exit status.

use crate::devices::DeviceError;
use crate::memory::mmu::MmuError;
use core::fmt;
use papr::ultracall::file::{FileError, FileName};
use postern_core::exit::ExitStatus;
use postern_core::secure::Contradiction;
use pseries_tree::FdtError;
use pseries_tree::MachineError;
use svm_dma::accept::AcceptError;
use svm_dma::memory_map::MapError;
use svm_dma::share::ShareError;
use thiserror::Error;

/// An error that ends the run.
#[derive(Debug, Error)]
pub enum Stop {
    /// The device tree is malformed.
    #[error("bad device tree: {0}")]
    Tree(#[from] FdtError),
    /// The tree describes no machine that can be run.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// This many words of the command line cannot be followed; each was reported.
    #[error("bad command line: {0} words")]
    CommandLine(usize),
    /// What the platform says about secure mode contradicts itself.
    #[error(transparent)]
    Secure(#[from] Contradiction),
    /// UV_ESM is due, but the boot stage has not issued it.
    #[error("UV_ESM is due, but was not issued")]
    EsmNotIssued,
    /// Owners of memory overlap, or there is no room for heap or pool.
    #[error(transparent)]
    Map(#[from] MapError),
    /// No range could be shared as the pool.
    #[error("no pool: {0}")]
    Pool(#[from] ShareError),
    /// No memory could be proved to be this VM's.
    #[error("no private memory: {0}")]
    Accept(#[from] AcceptError),
    /// Translation cannot be turned on.
    #[error(transparent)]
    Mmu(#[from] MmuError),
    /// The file of the ESM blob that was asked for was not given.
    #[error("secret {0}: {1}")]
    Secret(FileName, FileError),
    /// A device failed, or a job on it.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A failure that has an exit status.
pub trait Failed: fmt::Display {
    /// The exit status that the failure leads to.
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
    /// The exit status that the error leads to.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Tree(_) | Self::Machine(_) => ExitStatus::BadDeviceTree,
            Self::Map(error) if error.is_shortage() => ExitStatus::OutOfMemory,
            Self::Map(_) => ExitStatus::BadDeviceTree,
            Self::Accept(_) => ExitStatus::OutOfMemory,
            Self::CommandLine(_) => ExitStatus::BadCommandLine,
            Self::Secure(_) | Self::EsmNotIssued | Self::Secret(..) => ExitStatus::SecureModeFailed,
            Self::Pool(_) => ExitStatus::PoolNotShared,
            Self::Mmu(_) => ExitStatus::PlatformRefused,
            Self::Device(error) => error.status(),
        }
    }
}
