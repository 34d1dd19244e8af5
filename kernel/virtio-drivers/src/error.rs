//! How the measurement of another driver fails.

use postern_core::exit::ExitStatus;
use postern_kernel::Failed;
use postern_kernel::devices::DeviceError;
use postern_test::TestError;
use thiserror::Error;
use virtio_pci::blk::error::BlkError;
use workloads::bench::BenchError;

/// A measurement that failed.
#[derive(Debug, Error)]
pub enum OtherError {
    /// As the test image's.
    #[error(transparent)]
    Test(#[from] TestError),
    /// The crate's own.
    #[error("virtio-drivers: {0}")]
    Driver(#[from] virtio_drivers::Error),
}

impl Failed for OtherError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Test(error) => error.status(),
            Self::Driver(_) => ExitStatus::DeviceFailed,
        }
    }
}

impl From<DeviceError> for OtherError {
    fn from(error: DeviceError) -> Self {
        Self::Test(error.into())
    }
}

impl From<BenchError> for OtherError {
    fn from(error: BenchError) -> Self {
        Self::Test(error.into())
    }
}

impl From<BlkError> for OtherError {
    fn from(error: BlkError) -> Self {
        Self::Test(error.into())
    }
}
