//! How a device reaches memory: through the window or not, and never what is not shared.

use super::Model;
use super::machine::State;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use papr::addr::Gpa;

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
    pub fn new(model: Model, access_platform: bool) -> Self {
        Self { model, access_platform }
    }

    /// Reads `len` bytes.
    ///
    /// # Errors
    /// The first page that could not be reached; the machine has noted it.
    pub fn read(&self, bus: u64, len: usize) -> Result<Vec<u8>, Refused> {
        let mut out = vec![0; len];
        self.access(bus, len, false, |memory, range| {
            if let Some(part) = out.get_mut(range) {
                part.copy_from_slice(memory);
            }
        })?;
        Ok(out)
    }

    /// Writes `data`.
    ///
    /// # Errors
    /// The first page that could not be reached; bytes before it are written, and the machine has noted it.
    pub fn write(&self, bus: u64, data: &[u8]) -> Result<(), Refused> {
        self.access(bus, data.len(), true, |memory, range| {
            if let Some(part) = data.get(range) {
                memory.copy_from_slice(part);
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

    /// Runs `each` on the memory behind every page touched, with the part of the access that it is.
    fn access(
        &self,
        bus: u64,
        len: usize,
        write: bool,
        mut each: impl FnMut(&mut [u8], Range<usize>),
    ) -> Result<(), Refused> {
        let mut state = self.model.lock();
        let state: &mut State = &mut state;
        let mut done = 0usize;
        while done < len {
            let at = bus.wrapping_add(done as u64);
            let page_left = 4096usize.saturating_sub((at & 0xfff) as usize);
            let end = done.saturating_add(page_left).min(len);
            let part = done..end;
            let found = self.locate(state, at, write).and_then(|from| {
                let memory = state.ram.get_mut(from..from.saturating_add(part.len()));
                memory.ok_or(Refused::NoMemory(Gpa(at)))
            });
            match found {
                Ok(memory) => each(memory, part),
                Err(refused) => {
                    state.refused.push(refused);
                    return Err(refused);
                }
            }
            done = end;
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
