//! The MSI-X capability: where the table is, and turning it on for the vectors that are used.
//!
//! Source: PCI 3.0, 6.8.2. Addresses and data in the table are the firmware's (`ibm,change-msi`); this kernel
//! writes nothing there but the mask bits of its own vectors.

use crate::hcall::HcallError;
use crate::pci::bars::Bars;
use crate::pci::capabilities::{Capability, ListError, list};
use crate::pci::config::{CONFIG_BYTES, ConfigError, ConfigSpace};
use crate::pci::device_id::DeviceId;
use crate::pci::registers::Registers;
use crate::seam::{Mmio, Width};
use core::fmt;

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

/// MSI-X that cannot be used; the device is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsixError {
    /// The capability list.
    List(ListError),
    /// Config space.
    Config(ConfigError),
    /// The table cannot be reached.
    Mmio(HcallError),
    /// The function has no such capability.
    None,
    /// The capability does not fit into config space.
    Short(u8),
    /// The table is not wholly inside a memory BAR.
    Table {
        /// BAR number as read.
        bar: u8,
        /// Offset as read.
        offset: u32,
    },
    /// The control word did not read back as written.
    NotTaken {
        /// As written.
        wanted: u32,
        /// As read.
        found: u32,
    },
    /// A vector stays masked.
    StaysMasked {
        /// Its number.
        vector: u16,
        /// Its control word as read.
        control: u64,
    },
}

impl From<ListError> for MsixError {
    fn from(error: ListError) -> Self {
        Self::List(error)
    }
}

impl From<ConfigError> for MsixError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<HcallError> for MsixError {
    fn from(error: HcallError) -> Self {
        Self::Mmio(error)
    }
}

impl fmt::Display for MsixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Mmio(error) => write!(f, "MSI-X table: {error}"),
            Self::None => f.write_str("no MSI-X"),
            Self::Short(offset) => write!(f, "MSI-X capability at {offset:#x} does not fit"),
            Self::Table { bar, offset } => {
                write!(f, "MSI-X table at {offset:#x} of BAR {bar}, which has no room for it")
            }
            Self::NotTaken { wanted, found } => {
                write!(f, "MSI-X control {wanted:#06x} reads back {found:#06x}")
            }
            Self::StaysMasked { vector, control } => {
                write!(f, "MSI-X vector {vector} stays masked ({control:#x})")
            }
        }
    }
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
    /// The first MSI-X capability, judged against the function's BARs, which have been placed.
    ///
    /// # Errors
    /// There is none that can be used.
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

    /// Vectors that the function has; at least 1.
    #[must_use]
    pub const fn entries(&self) -> u16 {
        self.entries
    }

    /// Lets the first `vectors` through, or as many as there are, and turns MSI-X on. The function no longer uses
    /// its pin.
    ///
    /// # Errors
    /// The function does not do as it is told; MSI-X is to be turned off again.
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

    /// Turns MSI-X off.
    ///
    /// # Errors
    /// It stays on: the pin cannot be used.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Gpa;
    use crate::pci::bars;
    use crate::pci::model::{Model, windows_of_qemu};
    use crate::pci::registers::Register;
    use crate::pci::windows::Windows;
    use postern_cases::case;
    use std::cell::Cell;

    const AT: u8 = 0x98;

    /// A function with MSI-X at 0x98 and BAR 0 of 4 KiB of memory.
    fn function(control: u16, table: u32) -> (Model, DeviceId, Bars) {
        let model = Model::default();
        let at = model.add(1, 0, 0x1af4, 0x1042);
        model.set(at, 0x04, 1 << 20);
        model.set8(at, 0x34, AT);
        model.set(at, AT.into(), u32::from(control) << 16 | 0x11);
        model.set(at, u16::from(AT) + 4, table);
        model.make_writable(at, AT.into());
        model.bar(at, 0, 0xffff_f000);
        let mut windows = Windows::of_model(&windows_of_qemu(), &[]).unwrap();
        let bars = bars::assign(&model, at, &mut windows).unwrap();
        (model, at, bars)
    }

    /// The control words of the table's first two vectors.
    struct Table {
        controls: [Cell<u64>; 2],
        stuck: bool,
        start: Gpa,
    }

    impl Table {
        fn control(&self, at: Gpa) -> &Cell<u64> {
            let vector = (at.0 - self.start.0) / 16;
            assert_eq!(at.0, self.start.0 + 16 * vector + 12);
            &self.controls[vector as usize]
        }
    }

    // SAFETY: the registers are a model's, whose device reaches no memory of this process.
    #[allow(unsafe_code, reason = "a model keeps the promises")]
    unsafe impl Mmio for Table {
        fn load(&self, at: Register) -> Result<u64, HcallError> {
            Ok(self.control(at.gpa()).get())
        }
        fn store(&self, at: Register, value: u64) -> Result<(), HcallError> {
            let control = self.control(at.gpa());
            if !self.stuck {
                control.set(value);
            }
            Ok(())
        }
    }

    fn table(bars: &Bars, offset: u64, stuck: bool) -> Table {
        let base = bars.get(0).unwrap().registers.unwrap().gpa();
        Table { controls: [const { Cell::new(1) }; 2], stuck, start: Gpa(base.0 + offset) }
    }

    #[test]
    fn vectors_asked_for_are_let_through_and_the_control_word_says_on() {
        let (model, at, bars) = function(0x4001, 0x800);
        let msix = Msix::find(&model, at, &bars).unwrap();
        let table = table(&bars, 0x800, false);
        msix.enable(&model, &table, 1).unwrap();
        assert_eq!(model.get(at, AT.into()) >> 16, 0x8001, "function mask off");
        assert_eq!(table.controls.each_ref().map(Cell::get), [0, 1]);
        assert_eq!(msix.entries(), 2);
        msix.enable(&model, &table, u16::MAX).unwrap();
        assert_eq!(table.controls.each_ref().map(Cell::get), [0, 0], "no more than there are");
        msix.disable(&model).unwrap();
        assert_eq!(model.get(at, AT.into()) >> 16, 0x0001);
    }

    #[test]
    fn table_outside_of_its_bar_is_refused() {
        for (control, table) in [(0x1f, 0xe08), (0x7ff, 0), (0, 0xffff_fff8), (0, 3), (0, 7)] {
            let (model, at, bars) = function(control, table);
            assert!(
                matches!(Msix::find(&model, at, &bars), Err(MsixError::Table { .. })),
                "{control:#x} {table:#x}"
            );
        }
        let (model, at, bars) = function(0x1f, 0xe00);
        assert!(Msix::find(&model, at, &bars).is_ok());
    }

    #[test]
    fn function_without_the_capability_has_no_msi_x() {
        let (model, at, bars) = function(0, 0);
        model.set(at, AT.into(), 9);
        assert_eq!(Msix::find(&model, at, &bars), Err(MsixError::None));
    }

    #[test]
    fn capability_at_the_end_of_config_space_is_refused() {
        let (model, at, bars) = function(0, 0);
        model.set8(at, 0x34, 0xf8);
        model.set(at, 0xf8, 0x11);
        assert_eq!(Msix::find(&model, at, &bars), Err(MsixError::Short(0xf8)));
    }

    #[test]
    fn control_word_and_mask_that_do_not_take_are_errors() {
        case!("MSX-02", Fallback);
        let (model, at, bars) = function(0, 0);
        let msix = Msix::find(&model, at, &bars).unwrap();
        let stuck = table(&bars, 0, true);
        assert_eq!(msix.enable(&model, &stuck, 1), Err(MsixError::StaysMasked { vector: 0, control: 1 }));
        model.make_read_only(at, AT.into());
        assert_eq!(msix.disable(&model), Err(MsixError::NotTaken { wanted: 0, found: 0x8000 }));
    }
}
