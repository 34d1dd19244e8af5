//! Handles to device registers. H_LOGICAL_CI_STORE stores to any address, also to memory. So drivers store through a
//! handle that was checked against memory, and cannot reach memory with it.

#![allow(unsafe_code, reason = "a store to a register is a store to memory when the handle is wrong")]

use crate::addr::{Gpa, GpaRange};
use crate::hcall::HcallError;
use crate::platform::Width;

/// Registers of a device, outside of all memory of this guest. Safe code gets them from the code that compared a
/// bridge's window with memory, never from an address:
///
/// ```compile_fail,E0451
/// use papr::{addr::Gpa, registers::Registers};
/// let memory = Registers { start: Gpa(0x10_0000), len: 0x1000 };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    start: Gpa,
    len: u64,
}

/// One register, wholly inside its [`Registers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    at: Gpa,
    width: Width,
}

impl Registers {
    /// `len` bytes of registers from `start` on, for a device outside of every bridge's window.
    ///
    /// # Safety
    /// No memory of this guest lies there: drivers store to it.
    #[must_use]
    #[allow(unsafe_code, reason = "only the caller knows what is at an address")]
    pub const unsafe fn new(start: Gpa, len: u64) -> Self {
        Self { start, len }
    }

    /// The guest physical address of the first byte.
    #[must_use]
    pub const fn gpa(&self) -> Gpa {
        self.start
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no registers.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `len` bytes from `offset` on; `None` when they are not wholly inside.
    #[must_use]
    pub fn part(&self, offset: u64, len: u64) -> Option<Self> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        let start = self.start.checked_add(offset)?;
        inside.then_some(Self { start, len })
    }

    /// The register at `offset`; `None` when it is not wholly inside.
    #[must_use]
    pub fn register(&self, offset: u32, width: Width) -> Option<Register> {
        let part = self.part(offset.into(), width.bytes())?;
        Some(Register { at: part.start, width })
    }

    /// Whether the two have a byte in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let range = |registers: &Self| GpaRange { start: registers.start, len: registers.len };
        range(self).overlaps(&range(other))
    }
}

impl Register {
    /// The guest physical address of the register.
    #[must_use]
    pub const fn gpa(&self) -> Gpa {
        self.at
    }

    /// The width of the register.
    #[must_use]
    pub const fn width(&self) -> Width {
        self.width
    }
}

/// Access to device registers, by handles that were checked against memory. Values are numbers, decoded from the
/// little-endian register. Each access is ordered against all accesses before and after it.
///
/// # Implementation safety
/// A load returns what the register held. A store has reached the register when it returns without an error. Drivers
/// rely on it: they free memory that a device used after a register says that the device was reset.
pub unsafe trait Mmio {
    /// Reads a register.
    ///
    /// # Errors
    /// The hypervisor's error.
    fn load(&self, register: Register) -> Result<u64, HcallError>;
    /// Writes a register.
    ///
    /// # Errors
    /// The hypervisor's error.
    fn store(&self, register: Register, value: u64) -> Result<(), HcallError>;
}
