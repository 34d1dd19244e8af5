//! The capability list, walked with bounds.

use crate::pci::config::{CONFIG_BYTES, ConfigError, ConfigSpace};
use alloc::vec::Vec;
use papr::device_id::DeviceId;
use papr::parts::low_u8;
use papr::platform::Width;
use thiserror::Error;

const STATUS: u16 = 0x06;
/// Bit of the status register: the function has a capability list (PCI 3.0, 6.2.3).
pub const STATUS_CAPABILITIES: u32 = 1 << 4;
/// Offset of the pointer to the first capability (PCI 3.0, 6.7).
pub const CAPABILITIES_POINTER: u16 = 0x34;
/// Where capabilities may begin: after the standard header.
const FIRST: u8 = 0x40;
/// Most capabilities: those of 4 bytes that fit behind the header. A longer list has a loop.
pub const MOST: usize = 48;

/// A capability: its offset and its first word, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Offset in config space; divisible by 4, at least 0x40.
    pub offset: u8,
    /// Capability ID.
    pub id: u8,
    /// The two bytes after ID and next pointer.
    pub rest: [u8; 2],
}

/// Why a capability list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// More capabilities than fit: the list loops.
    #[error("capability list loops")]
    Loop,
    /// A read failed, or the function is gone.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// All capabilities of a function. The list ends at a pointer into the header, a misaligned one, or one outside of
/// config space; the capabilities before it count.
///
/// # Errors
/// The list loops, or config space cannot be read.
pub fn list(config: &impl ConfigSpace, at: DeviceId) -> Result<Vec<Capability>, ListError> {
    let status = config.read(at, STATUS, Width::W16)?;
    if status == 0xffff {
        return Err(ConfigError::Gone.into());
    }
    let mut found = Vec::new();
    if status & STATUS_CAPABILITIES == 0 {
        return Ok(found);
    }
    let mut next = low_u8(config.read(at, CAPABILITIES_POINTER, Width::W8)?.into());
    while next >= FIRST && next.is_multiple_of(4) && u16::from(next) < CONFIG_BYTES {
        if found.len() == MOST {
            return Err(ListError::Loop);
        }
        let word = config.read(at, next.into(), Width::W32)?;
        if word == u32::MAX {
            return Err(ConfigError::Gone.into());
        }
        let [id, following, third, fourth] = word.to_le_bytes();
        found.push(Capability { offset: next, id, rest: [third, fourth] });
        next = following;
    }
    Ok(found)
}
