//! The MSI-X capability: finds the table, and enables the vectors that are used.
//!
//! Source: PCI 3.0, 6.8.2. Addresses and data in the table are the firmware's (`ibm,change-msi`); this kernel
//! writes nothing there but the mask bits of its own vectors.

use crate::pci::bars::Bars;
use crate::pci::capabilities::{Capability, ListError, list};
use crate::pci::config::{CONFIG_BYTES, ConfigError, ConfigSpace};
use papr::device_id::DeviceId;
use papr::hcall::HcallError;
use papr::platform::Width;
use papr::registers::Mmio;
use papr::registers::Registers;
use thiserror::Error;

const CAPABILITY: u8 = 0x11;
/// Bytes of the capability.
const LENGTH: u16 = 12;
const CONTROL: u16 = 2;
const TABLE: u16 = 4;
const ENABLE: u32 = 1 << 15;
const MASK_ALL: u32 = 1 << 14;
const ENTRY_BYTES: u32 = 16;
const VECTOR_CONTROL: u32 = 12;
const MASKED: u64 = 1;

/// Why MSI-X cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MsixError {
    /// The capability list is unusable.
    #[error(transparent)]
    List(#[from] ListError),
    /// A config access failed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The table cannot be reached.
    #[error("MSI-X table: {0}")]
    Mmio(#[from] HcallError),
    /// The function has no such capability.
    #[error("no MSI-X")]
    None,
    /// The capability does not fit into config space.
    #[error("MSI-X capability at {0:#x} does not fit")]
    Short(u8),
    /// The table is not wholly inside a memory BAR.
    #[error("MSI-X table at {offset:#x} of BAR {bar}, which has no room for it")]
    Table {
        /// BAR number as read.
        bar: u8,
        /// Offset as read.
        offset: u32,
    },
    /// The control word did not read back as written.
    #[error("MSI-X control {wanted:#06x} reads back {found:#06x}")]
    NotTaken {
        /// Value that was written.
        wanted: u32,
        /// Value that was read back.
        found: u32,
    },
    /// A vector stays masked.
    #[error("MSI-X vector {vector} stays masked ({control:#x})")]
    StaysMasked {
        /// Number of the vector.
        vector: u16,
        /// Its control word as read.
        control: u64,
    },
}

/// A function's MSI-X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msix {
    at: DeviceId,
    control: u16,
    entries: u16,
    table: Registers,
}

impl Msix {
    /// Finds the first MSI-X capability and checks it against the function's BARs, which have been placed.
    ///
    /// # Errors
    /// No usable MSI-X capability.
    pub fn find(config: &impl ConfigSpace, at: DeviceId, bars: &Bars) -> Result<Self, MsixError> {
        let found = list(config, at)?.into_iter().find(|capability| capability.id == CAPABILITY);
        let Capability { offset: start, rest, .. } = found.ok_or(MsixError::None)?;
        let capability = u16::from(start);
        if capability.saturating_add(LENGTH) > CONFIG_BYTES {
            return Err(MsixError::Short(start));
        }
        let word = config.read(at, capability.saturating_add(TABLE), Width::W32)?;
        let (bar, offset) = ((word & 7) as u8, word & !7);
        let outside = MsixError::Table { bar, offset };
        let entries = (u16::from_le_bytes(rest) & 0x7ff).saturating_add(1);
        let place = bars.get(bar).filter(|place| !place.io).ok_or(outside)?;
        let bytes = u64::from(u32::from(entries).saturating_mul(ENTRY_BYTES));
        let table = place.registers.and_then(|bar| bar.part(offset.into(), bytes)).ok_or(outside)?;
        Ok(Self { at, control: capability.saturating_add(CONTROL), entries, table })
    }

    /// Number of the function's vectors; at least 1.
    #[must_use]
    pub const fn entries(&self) -> u16 {
        self.entries
    }

    /// Enables MSI-X and unmasks the first `vectors` vectors, or all if there are fewer. The function no longer uses
    /// its pin.
    ///
    /// # Errors
    /// A register does not read back as written; the caller must disable MSI-X again.
    pub fn enable(&self, config: &impl ConfigSpace, mmio: &impl Mmio, vectors: u16) -> Result<(), MsixError> {
        self.set(config, ENABLE, MASK_ALL)?;
        for vector in 0..vectors.min(self.entries) {
            let entry = u32::from(vector).saturating_mul(ENTRY_BYTES);
            // The vector is one of the table's.
            let register = self.table.register(entry.saturating_add(VECTOR_CONTROL), Width::W32);
            let register = register.ok_or(MsixError::None)?;
            let control = mmio.load(register)?;
            mmio.store(register, control & !MASKED)?;
            match mmio.load(register)? {
                control if control & MASKED != 0 => return Err(MsixError::StaysMasked { vector, control }),
                _ => {}
            }
        }
        Ok(())
    }

    /// Disables MSI-X.
    ///
    /// # Errors
    /// MSI-X stays enabled: the pin cannot be used.
    pub fn disable(&self, config: &impl ConfigSpace) -> Result<(), MsixError> {
        self.set(config, 0, ENABLE)
    }

    fn set(&self, config: &impl ConfigSpace, set: u32, clear: u32) -> Result<(), MsixError> {
        let before = config.read(self.at, self.control, Width::W16)?;
        let wanted = before & !clear | set;
        config.write(self.at, self.control, Width::W16, wanted)?;
        let found = config.read(self.at, self.control, Width::W16)?;
        if (found ^ wanted) & (ENABLE | MASK_ALL) == 0 {
            Ok(())
        } else {
            Err(MsixError::NotTaken { wanted, found })
        }
    }
}
