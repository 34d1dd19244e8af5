//! The capability list, walked with bounds.

use crate::parts::low_u8;
use crate::pci::config::{CONFIG_BYTES, ConfigError, ConfigSpace};
use crate::pci::device_id::DeviceId;
use crate::seam::Width;
use alloc::vec::Vec;
use core::fmt;

const STATUS: u16 = 0x06;
const STATUS_CAPABILITIES: u32 = 1 << 4;
const CAPABILITIES_POINTER: u16 = 0x34;
/// Where capabilities may begin: after the standard header.
const FIRST: u8 = 0x40;
/// As many 4-byte capabilities as fit behind the header. A longer list visits some place twice.
const MOST: usize = 48;

/// A capability: where it is, and the word it begins with, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Offset in config space; divisible by 4, at least 0x40.
    pub offset: u8,
    /// Capability ID.
    pub id: u8,
    /// The two bytes after ID and next pointer.
    pub rest: [u8; 2],
}

/// A list that cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// More capabilities than fit: the list loops.
    Loop,
    /// A read failed, or the function is gone.
    Config(ConfigError),
}

impl From<ConfigError> for ListError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop => f.write_str("capability list loops"),
            Self::Config(error) => error.fmt(f),
        }
    }
}

/// All capabilities of a function. A pointer that leads into the header, is not aligned or leads outside
/// ends the list; what came before it counts.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::model::Model;
    use postern_cases::case;

    fn function(first: u8) -> (Model, DeviceId) {
        let model = Model::default();
        let at = model.add(1, 0, 0x1af4, 0x1042);
        model.set(at, 0x04, STATUS_CAPABILITIES << 16);
        model.set8(at, CAPABILITIES_POINTER, first);
        (model, at)
    }

    fn offsets(model: &Model, at: DeviceId) -> Result<Vec<u8>, ListError> {
        list(model, at).map(|found| found.iter().map(|c| c.offset).collect())
    }

    #[test]
    fn list_is_followed_in_order() {
        let (model, at) = function(0x98);
        model.set(at, 0x98, 0x0102_4011);
        model.set(at, 0x40, 0x0304_0009);
        assert_eq!(
            list(&model, at).unwrap(),
            [
                Capability { offset: 0x98, id: 0x11, rest: [2, 1] },
                Capability { offset: 0x40, id: 9, rest: [4, 3] }
            ]
        );
    }

    #[test]
    fn no_list_without_the_status_bit() {
        let (model, at) = function(0x40);
        model.set(at, 0x04, 0);
        assert_eq!(offsets(&model, at), Ok(std::vec![]));
    }

    #[test]
    fn looping_list_is_refused() {
        case!("CAP-01", Refuse);
        let (model, at) = function(0x40);
        model.set(at, 0x40, 0x0000_4409);
        model.set(at, 0x44, 0x0000_4009);
        assert_eq!(list(&model, at), Err(ListError::Loop));
    }

    #[test]
    fn list_that_fills_config_space_is_accepted() {
        let (model, at) = function(0x40);
        for offset in (0x40..=0xfc_u16).step_by(4) {
            model.set(at, offset, u32::from((offset + 4) as u8) << 8 | 5);
        }
        assert_eq!(list(&model, at).unwrap().len(), MOST);
    }

    #[test]
    fn bad_next_pointer_ends_the_list_and_keeps_what_was_seen() {
        case!("CAP-02", Ignore);
        for bad in [0x3c_u8, 0x00, 0x41, 0x42, 0xfd, 0xff, 0x04] {
            let (model, at) = function(0x40);
            model.set(at, 0x40, u32::from(bad) << 8 | 9);
            assert_eq!(offsets(&model, at), Ok(std::vec![0x40]), "{bad:#x}");
        }
    }

    #[test]
    fn function_removed_in_the_middle_is_an_error() {
        case!("CAP-14", Refuse);
        let (model, at) = function(0x40);
        model.set(at, 0x40, u32::MAX);
        assert_eq!(list(&model, at), Err(ListError::Config(ConfigError::Gone)));
        model.remove(at);
        assert!(list(&model, at).is_err());
    }
}
