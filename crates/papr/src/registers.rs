//! Handles to device registers. Whoever has one cannot reach memory with it: a store to a register is a store to an
//! address, and the hypervisor stores to memory as well.

#![allow(unsafe_code, reason = "a store to a register is a store to memory when the handle is wrong")]

use crate::addr::{Gpa, GpaRange};
use crate::hcall::HcallError;
use crate::platform::Width;

/// Registers of a device, which lie outside of all memory of this guest. Safe code has them from whoever compared a
/// bridge's window with memory, never by an address:
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
    /// `len` bytes of registers from `start` on, of a device that no window leads to.
    ///
    /// # Safety
    /// No memory of this guest lies there: a driver stores to it.
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

/// Device registers, by handles that were checked against memory. Values are numbers: the little-endian register has
/// already been decoded. Each access is ordered against all accesses before and after it.
///
/// # Implementation safety
/// A load answers what the register held, and a store has reached it when it returns without an error: memory that a
/// device used is freed when its register says that it was reset.
pub unsafe trait Mmio {
    /// Reads a register.
    ///
    /// # Errors
    /// What the hypervisor answered.
    fn load(&self, register: Register) -> Result<u64, HcallError>;
    /// Writes a register.
    ///
    /// # Errors
    /// What the hypervisor answered.
    fn store(&self, register: Register, value: u64) -> Result<(), HcallError>;
}
