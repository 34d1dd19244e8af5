//! What can go wrong with a device, and what it means for the run.

use core::fmt;
use netstack::stack::StackError;
use postern_core::disk::jobs::JobError;
use postern_core::exit::ExitStatus;
use svm_dma::dma::DmaError;
use svm_dma::tce::TceError;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::stream::TransferError;
use virtio_pci::net::error::NetError;
use virtio_pci::pci::command::CommandError;
use virtio_pci::pci::placement::PlaceError;
use virtio_pci::pci::windows::WindowError;
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::regions::RegionError;

/// A device that cannot be used, or a job on one that failed.
#[derive(Debug)]
pub enum DeviceError {
    /// The host bridge's windows.
    Windows(WindowError),
    /// The DMA window.
    Tce(TceError),
    /// The device's addresses.
    Place(PlaceError),
    /// The device was not among those that were given addresses.
    NotPlaced,
    /// The command register.
    Command(CommandError),
    /// The virtio capabilities.
    Regions(RegionError),
    /// The virtio registers.
    Transport(TransportError),
    /// DMA for the device.
    Dma(DmaError),
    /// The block driver.
    Blk(BlkError),
    /// The network driver.
    Net(NetError),
    /// Reading a disk.
    Transfer(TransferError),
    /// Writing a disk and reading it back.
    Job(JobError),
    /// The network.
    Stack(StackError<NetError>),
    /// More functions that access memory than can be remembered, which is this many.
    TooManyMasters(usize),
    /// The serial card has no 16550 that answers.
    NoUart,
    /// A device that was asked for is not there.
    Missing(&'static str),
    /// A CPU, by its server number, did not finish its share of the work.
    Cpu(u32),
}

impl DeviceError {
    /// The status to exit with.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Job(JobError::Mismatch { .. }) => ExitStatus::VerificationFailed,
            _ => ExitStatus::DeviceFailed,
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Windows(error) => error.fmt(f),
            Self::Tce(error) => error.fmt(f),
            Self::Place(error) => error.fmt(f),
            Self::NotPlaced => f.write_str("has no addresses"),
            Self::Command(error) => error.fmt(f),
            Self::Regions(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::Dma(error) => error.fmt(f),
            Self::Blk(error) => error.fmt(f),
            Self::Net(error) => error.fmt(f),
            Self::Transfer(error) => error.fmt(f),
            Self::Job(error) => error.fmt(f),
            Self::Stack(error) => error.fmt(f),
            Self::TooManyMasters(most) => write!(f, "more than {most} functions access memory"),
            Self::NoUart => f.write_str("no 16550 answers"),
            Self::Missing(what) => write!(f, "there is no {what}"),
            Self::Cpu(server) => write!(f, "cpu {server} does not finish"),
        }
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {$(
        impl From<$error> for DeviceError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    WindowError => Windows,
    TceError => Tce,
    PlaceError => Place,
    CommandError => Command,
    RegionError => Regions,
    TransportError => Transport,
    DmaError => Dma,
    BlkError => Blk,
    NetError => Net,
    TransferError => Transfer,
    JobError => Job,
    StackError<NetError> => Stack,
}
