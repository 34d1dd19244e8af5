//! Tests of `pci::msix` with the model.

use papr::addr::Gpa;
use papr::device_id::DeviceId;
use papr::hcall::HcallError;
use papr::registers::Mmio;
use papr::registers::Register;
use postern_cases::case;
use std::cell::Cell;
use testkit::pci_model::{Model, windows_of_qemu};
use testkit::unchecked::windows;
use virtio_pci::pci::bars;
use virtio_pci::pci::bars::Bars;
use virtio_pci::pci::msix::{Msix, MsixError};

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
    let mut windows = windows(&windows_of_qemu(), &[]).unwrap();
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
fn requested_vectors_are_unmasked_and_msi_x_is_enabled() {
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
