//! How the measurement of another driver fails.

use core::fmt;
use postern_core::exit::ExitStatus;
use postern_kernel::Failed;
use postern_kernel::devices::DeviceError;
use postern_test::TestError;
use virtio_pci::blk::error::BlkError;
use workloads::bench::BenchError;

/// A measurement that failed.
#[derive(Debug)]
pub enum OtherError {
    /// As the test image's.
    Test(TestError),
    /// The crate's own.
    Driver(virtio_drivers::Error),
}

impl Failed for OtherError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Test(error) => error.status(),
            Self::Driver(_) => ExitStatus::DeviceFailed,
        }
    }
}

impl fmt::Display for OtherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test(error) => error.fmt(f),
            Self::Driver(error) => write!(f, "virtio-drivers: {error}"),
        }
    }
}

impl From<TestError> for OtherError {
    fn from(error: TestError) -> Self {
        Self::Test(error)
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

impl From<virtio_drivers::Error> for OtherError {
    fn from(error: virtio_drivers::Error) -> Self {
        Self::Driver(error)
    }
}
