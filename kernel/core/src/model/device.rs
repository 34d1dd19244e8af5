//! How a device reaches memory: through the window or not, and never what is not shared.

use super::Model;
use super::machine::State;
use crate::addr::Gpa;
use alloc::vec;
use alloc::vec::Vec;

/// An access that the machine did not let happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No table maps this bus address.
    NotMapped(u64),
    /// Its entry does not let a device read.
    NotReadable(u64),
    /// Its entry does not let a device write.
    NotWritable(u64),
    /// The guest is secure and does not share the frame.
    NotShared(Gpa),
    /// There is no memory.
    NoMemory(Gpa),
}

/// A device's view of memory.
#[derive(Clone, Debug)]
pub struct ModelDevice {
    model: Model,
    access_platform: bool,
}

impl ModelDevice {
    pub(super) fn new(model: Model, access_platform: bool) -> Self {
        Self { model, access_platform }
    }

    /// Reads `len` bytes.
    ///
    /// # Errors
    /// The first byte that could not be reached; the machine has noted it.
    pub fn read(&self, bus: u64, len: usize) -> Result<Vec<u8>, Refused> {
        let mut out = vec![0; len];
        self.access(bus, len, false, |ram, at, index| {
            if let (Some(to), Some(from)) = (out.get_mut(index), ram.get(at)) {
                *to = *from;
            }
        })?;
        Ok(out)
    }

    /// Writes `data`.
    ///
    /// # Errors
    /// The first byte that could not be reached; bytes before it are written, and the machine has noted it.
    pub fn write(&self, bus: u64, data: &[u8]) -> Result<(), Refused> {
        self.access(bus, data.len(), true, |ram, at, index| {
            if let (Some(to), Some(from)) = (ram.get_mut(at), data.get(index)) {
                *to = *from;
            }
        })
    }

    /// Reads a little-endian number of 16 bits.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read16(&self, bus: u64) -> Result<u16, Refused> {
        Ok(self.read(bus, 2)?.iter().rev().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    /// Reads a little-endian number of 32 bits.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read32(&self, bus: u64) -> Result<u32, Refused> {
        Ok(self.read(bus, 4)?.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// Reads a little-endian number of 64 bits.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read64(&self, bus: u64) -> Result<u64, Refused> {
        Ok(self.read(bus, 8)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Writes a little-endian number of 16 bits.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write16(&self, bus: u64, value: u16) -> Result<(), Refused> {
        self.write(bus, &value.to_le_bytes())
    }

    /// Writes a little-endian number of 32 bits.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write32(&self, bus: u64, value: u32) -> Result<(), Refused> {
        self.write(bus, &value.to_le_bytes())
    }

    fn access(
        &self,
        bus: u64,
        len: usize,
        write: bool,
        mut each: impl FnMut(&mut Vec<u8>, usize, usize),
    ) -> Result<(), Refused> {
        let mut state = self.model.lock();
        let state: &mut State = &mut state;
        for index in 0..len {
            match self.locate(state, bus.wrapping_add(index as u64), write) {
                Ok(at) => each(&mut state.ram, at, index),
                Err(refused) => {
                    state.refused.push(refused);
                    return Err(refused);
                }
            }
        }
        Ok(())
    }

    fn locate(&self, state: &State, bus: u64, write: bool) -> Result<usize, Refused> {
        let at = if self.access_platform { translate(state, bus, write)? } else { bus };
        let index = usize::try_from(at).unwrap_or(usize::MAX);
        if index >= state.ram.len() {
            return Err(Refused::NoMemory(Gpa(at)));
        }
        if !state.visible(at) {
            return Err(Refused::NotShared(Gpa(at)));
        }
        Ok(index)
    }
}

fn translate(state: &State, bus: u64, write: bool) -> Result<u64, Refused> {
    for table in state.tables.values() {
        let Some(offset) = bus.checked_sub(table.base).filter(|offset| *offset < table.size) else {
            continue;
        };
        let page = 1u64.wrapping_shl(table.page_shift).wrapping_sub(1);
        let tce = table.entries.get(&offset.wrapping_shr(table.page_shift)).copied().unwrap_or(0);
        return match (tce & 3, write) {
            (0, _) => Err(Refused::NotMapped(bus)),
            (1, true) => Err(Refused::NotWritable(bus)),
            (2, false) => Err(Refused::NotReadable(bus)),
            _ => Ok(tce & !page | offset & page),
        };
    }
    Err(Refused::NotMapped(bus))
}
