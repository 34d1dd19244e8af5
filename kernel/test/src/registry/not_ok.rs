//! Why a test failed.

use super::faults::Fault;
use alloc::string::String;
use core::net::Ipv4Addr;
use netstack::stack::StackError;
use papr::hcall::HcallError;
use papr::rtas::RtasError;
use postern_core::disk::jobs::{JobError, Sha256Digest};
use postern_kernel::arch::cpus::Unanswered;
use postern_kernel::devices::DeviceError;
use svm_dma::dma::DmaError;
use svm_dma::tce::TceError;
use thiserror::Error;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::stream::TransferError;
use virtio_pci::net::error::NetError;
use virtio_pci::pci::config::ConfigError;

/// Why a test failed: what it found instead of the expected result.
#[derive(Debug, Error)]
pub enum NotOk {
    /// A number differs from the expected one.
    #[error("{what} is {found:#x}, not {wanted:#x}")]
    Differs {
        /// The number's name.
        what: &'static str,
        /// The number.
        found: u64,
        /// The expected number.
        wanted: u64,
    },
    /// A number is too small or too large.
    #[error("{what}: {found}, not {least} to {most}")]
    Outside {
        /// The number's name.
        what: &'static str,
        /// The number.
        found: u64,
        /// The least that is right.
        least: u64,
        /// The most.
        most: u64,
    },
    /// An action that must be refused was done.
    #[error("{0} was not refused")]
    NotRefused(&'static str),
    /// An action that must raise an interrupt raised none.
    #[error("{0} raised no interrupt")]
    NoInterrupt(&'static str),
    /// It raised another interrupt than expected.
    #[error("{0} raised {1}")]
    OtherInterrupt(&'static str, Fault),
    /// It did not come in time.
    #[error("{0} did not come in time")]
    Late(&'static str),
    /// Two digests of the same bytes differ.
    #[error("SHA-256 is {1} with {0}, and {2} without")]
    Digest(&'static str, Sha256Digest, Sha256Digest),
    /// A disk's name has changed.
    #[error("GET_ID returns {0}, and returned {1} at boot")]
    Name(String, String),
    /// There was an answer from an address that no host has.
    #[error("ARP answers for {0}, which no host has")]
    Reached(Ipv4Addr),
    /// A hypercall.
    #[error("{0}: {1}")]
    Hcall(&'static str, HcallError),
    /// A service of RTAS.
    #[error(transparent)]
    Rtas(#[from] RtasError),
    /// Config space.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A DMA window.
    #[error(transparent)]
    Tce(#[from] TceError),
    /// DMA.
    #[error(transparent)]
    Dma(#[from] DmaError),
    /// A disk.
    #[error(transparent)]
    Blk(#[from] BlkError),
    /// A transfer.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A job on a disk.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The network.
    #[error(transparent)]
    Net(#[from] StackError<NetError>),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A CPU.
    #[error("cpu {0} {1}")]
    Cpu(u32, Unanswered),
    /// Memory does not keep what was written.
    #[error("memory at {0:#x} does not hold what was written")]
    Memory(u64),
    /// There is no memory for the test.
    #[error("no memory for {0} bytes")]
    NoMemory(usize),
    /// Something is missing that the machine should have, by the test's requirements.
    #[error("there is no {0}")]
    Missing(&'static str),
}

/// Checks that a number is the expected one.
///
/// # Errors
/// It differs.
pub fn same(what: &'static str, found: u64, wanted: u64) -> Result<(), NotOk> {
    if found == wanted { Ok(()) } else { Err(NotOk::Differs { what, found, wanted }) }
}
