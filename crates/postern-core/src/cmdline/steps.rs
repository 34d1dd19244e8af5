//! Steps of `run=`.

use super::words::STEPS;
use core::fmt;

/// One thing to do after boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Shows each device, the start of the disk, and the network.
    Demo,
    /// SHA-256 of each whole data disk.
    BlkDigest,
    /// A seeded pattern over the whole of the scratch disk, read back.
    BlkPattern,
    /// Reads each data disk and overwrites each scratch disk; every CPU works on its own part.
    BlkSmp,
    /// Answers ARP, ICMP, UDP and TCP echo.
    NetServe,
    /// Follows commands that a person types on the console.
    Monitor,
    /// States the memory map, for a check from outside.
    Map,
    /// A step of this image's own.
    Extra(ExtraStep),
}

/// A step of `run=` that an image adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraStep {
    /// Its name in `run=`.
    pub name: &'static str,
    /// Whether it writes to disks named `scratch`.
    pub writes_scratch: bool,
    /// The options that it uses, among those that not every step uses.
    pub looks_at: &'static [&'static [u8]],
}

impl Step {
    /// Whether it writes to disks named `scratch`.
    #[must_use]
    pub const fn writes_scratch(self) -> bool {
        match self {
            Self::BlkPattern | Self::BlkSmp => true,
            Self::Extra(step) => step.writes_scratch,
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extra(step) => f.write_str(step.name),
            own => f.write_str(STEPS.iter().find(|(_, step)| step == own).map_or("", |(name, _)| name)),
        }
    }
}
