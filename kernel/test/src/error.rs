//! How a step of the test image fails.

use core::fmt;
use netstack::stack::StackError;
use postern_core::exit::ExitStatus;
use postern_kernel::Failed;
use postern_kernel::devices::DeviceError;
use virtio_pci::blk::error::BlkError;
use virtio_pci::net::error::NetError;
use workloads::bench::BenchError;
use workloads::soak::SoakError;
use workloads::words::{Breach, STEPS, TestStep};

/// A step that failed.
#[derive(Debug)]
pub enum TestError {
    /// A device, or a job on one.
    Device(DeviceError),
    /// Measuring a disk.
    Bench(BenchError),
    /// Random work on a disk.
    Soak(SoakError),
    /// The devices let go, and part of the pool is still in use.
    NotGivenBack,
    /// Not a single block of so many bytes is free.
    NoBlock(usize),
    /// What was written to this address is not there any more.
    Memory(u64),
    /// A rule of the memory map was broken and nothing happened.
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

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Bench(error) => error.fmt(f),
            Self::Soak(error) => error.fmt(f),
            Self::NotGivenBack => f.write_str("part of the pool was not given back"),
            Self::NoBlock(bytes) => write!(f, "no block of {bytes} bytes is free"),
            Self::Memory(at) => write!(f, "memory at {at:#x} does not hold what was written"),
            Self::NotStopped(breach) => {
                let step = STEPS.iter().find(|(_, does)| *does == TestStep::Breach(*breach));
                write!(f, "no exception after {}", step.map_or("", |(step, _)| step.name))
            }
        }
    }
}

impl From<DeviceError> for TestError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl From<BenchError> for TestError {
    fn from(error: BenchError) -> Self {
        Self::Bench(error)
    }
}

impl From<SoakError> for TestError {
    fn from(error: SoakError) -> Self {
        Self::Soak(error)
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
