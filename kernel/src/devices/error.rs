//! What can go wrong with a device, and what it means for the run.

use core::fmt;
use postern_core::exit::ExitStatus;
use postern_core::pci::bars::BarError;
use postern_core::pci::command::CommandError;
use postern_core::pci::windows::WindowError;
use postern_core::tce::TceError;

/// A device that cannot be used, or a job on one that failed.
#[derive(Debug)]
pub enum DeviceError {
    /// The host bridge's windows.
    Windows(WindowError),
    /// The DMA window.
    Tce(TceError),
    /// A BAR.
    Bar(BarError),
    /// The command register.
    Command(CommandError),
}

impl DeviceError {
    /// The status to exit with.
    pub fn status(&self) -> ExitStatus {
        ExitStatus::DeviceFailed
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Windows(error) => error.fmt(f),
            Self::Tce(error) => error.fmt(f),
            Self::Bar(error) => error.fmt(f),
            Self::Command(error) => error.fmt(f),
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
    BarError => Bar,
    CommandError => Command,
}
