//! What can go wrong with a device, and what it means for the run.

use crate::arch::cpus::Unanswered;
use netstack::stack::StackError;
use papr::device_id::DeviceId;
use postern_core::disk::jobs::JobError;
use postern_core::exit::ExitStatus;
use svm_dma::dma::DmaError;
use svm_dma::tce::TceError;
use thiserror::Error;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::stream::TransferError;
use virtio_pci::net::error::NetError;
use virtio_pci::pci::command::CommandError;
use virtio_pci::pci::placement::PlaceError;
use virtio_pci::pci::windows::WindowError;
use virtio_pci::rng::error::RngError;
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::regions::RegionError;

/// A device that cannot be used, or a job on one that failed.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The host bridge's windows.
    #[error(transparent)]
    Windows(#[from] WindowError),
    /// The DMA window failed.
    #[error(transparent)]
    Tce(#[from] TceError),
    /// The device got no addresses.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The device was not among those that were given addresses.
    #[error("has no addresses")]
    NotPlaced,
    /// The command register failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The virtio capabilities are unusable.
    #[error(transparent)]
    Regions(#[from] RegionError),
    /// The virtio registers failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// DMA for the device failed.
    #[error(transparent)]
    Dma(#[from] DmaError),
    /// The block driver failed.
    #[error(transparent)]
    Blk(#[from] BlkError),
    /// The network driver failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A source of random bytes gave none.
    #[error(transparent)]
    Rng(#[from] RngError),
    /// A disk could not be read.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// Writing a disk and reading it back.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The network failed.
    #[error(transparent)]
    Stack(#[from] StackError<NetError>),
    /// More functions that access memory than can be remembered, which is this many.
    #[error("more than {0} functions access memory")]
    TooManyMasters(usize),
    /// The virtio-iommu at this address translates for the device, and has no driver.
    #[error(
        "the virtio-iommu {0} translates its addresses, and has no driver; QEMU: leave virtio-iommu-pci out"
    )]
    BehindIommu(DeviceId),
    /// The serial card has no 16550 that answers.
    #[error("no 16550 answers")]
    NoUart,
    /// A device that was asked for is not there.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// A CPU, by its server number, did not finish its share of the work.
    #[error("cpu {0} {1}")]
    Cpu(u32, Unanswered),
}

impl DeviceError {
    /// The exit status that the error leads to.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Job(JobError::Mismatch { .. }) => ExitStatus::VerificationFailed,
            _ => ExitStatus::DeviceFailed,
        }
    }
}
