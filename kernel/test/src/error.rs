//! How a step of the test image fails.

use netstack::stack::StackError;
use postern_core::exit::ExitStatus;
use postern_kernel::Failed;
use postern_kernel::devices::DeviceError;
use thiserror::Error;
use virtio_pci::blk::error::BlkError;
use virtio_pci::net::error::NetError;
use workloads::bench::BenchError;
use workloads::soak::SoakError;
use workloads::words::{Breach, STEPS, TestStep};

/// A step that failed.
#[derive(Debug, Error)]
pub enum TestError {
    /// A device, or a job on one.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Measuring a disk failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// Random work on a disk failed.
    #[error(transparent)]
    Soak(#[from] SoakError),
    /// All devices are dropped, and part of the pool is still in use.
    #[error("part of the pool was not given back")]
    NotGivenBack,
    /// No block of this number of bytes is free.
    #[error("no block of {0} bytes is free")]
    NoBlock(usize),
    /// The word at this address is not the one that was written.
    #[error("memory at {0:#x} does not hold what was written")]
    Memory(u64),
    /// A rule of the memory map was broken and nothing happened.
    #[error("no exception after {}", step(*.0))]
    NotStopped(Breach),
}

impl Failed for TestError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Device(error) => error.status(),
            Self::Bench(BenchError::Mismatch(_))
            | Self::Soak(SoakError::Mismatch(_))
            | Self::NotStopped(_)
            | Self::Memory(_) => ExitStatus::VerificationFailed,
            Self::Bench(_) | Self::Soak(_) | Self::NotGivenBack => ExitStatus::DeviceFailed,
            Self::NoBlock(_) => ExitStatus::OutOfMemory,
        }
    }
}

impl From<BlkError> for TestError {
    fn from(error: BlkError) -> Self {
        Self::Device(error.into())
    }
}

impl From<NetError> for TestError {
    fn from(error: NetError) -> Self {
        Self::Device(error.into())
    }
}

impl From<StackError<NetError>> for TestError {
    fn from(error: StackError<NetError>) -> Self {
        Self::Device(error.into())
    }
}

/// The step of `run=` that breaks this rule.
fn step(breach: Breach) -> &'static str {
    let step = STEPS.iter().find(|(_, does)| *does == TestStep::Breach(breach));
    step.map_or("", |(step, _)| step.name)
}
