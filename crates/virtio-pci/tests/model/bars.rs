//! Tests of `pci::bars` with the model.

use papr::addr::Gpa;
use papr::device_id::DeviceId;
use papr::registers::Registers;
use postern_cases::case;
use testkit::pci_model::{Model, windows_of_qemu};
use testkit::unchecked::{registers, windows};
use virtio_pci::pci::bars::ROM;
use virtio_pci::pci::bars::{Bar, BarError, Bars, assign};
use virtio_pci::pci::windows::Space;

fn placed(gpa: u64, len: u64) -> Option<Registers> {
    Some(registers(Gpa(gpa), len))
}

fn function() -> (Model, DeviceId) {
    let model = Model::default();
    let at = model.add(1, 0, 0x1af4, 0x1042);
    (model, at)
}

fn run(model: &Model, at: DeviceId) -> Result<Bars, BarError> {
    assign(model, at, &mut windows(&windows_of_qemu(), &[]).unwrap())
}

#[test]
fn bars_of_a_modern_virtio_function_are_placed() {
    let (model, at) = function();
    model.bar(at, 1, 0xffff_f000);
    model.bar(at, 4, 0xffff_c00c);
    model.bar(at, 5, 0xffff_ffff);
    let bars = run(&model, at).unwrap();
    assert_eq!(bars.get(0), None);
    assert_eq!(
        bars.get(1),
        Some(Bar { io: false, len: 0x1000, registers: placed(0x2000_8000_0000, 0x1000) })
    );
    assert_eq!(
        bars.get(4),
        Some(Bar { io: false, len: 0x4000, registers: placed(0x2100_0000_0000, 0x4000) })
    );
    assert_eq!(bars.get(5), None, "second half");
    assert_eq!(model.get(at, 0x10 + 4 * 4), 0x0000_000c);
    assert_eq!(model.get(at, 0x10 + 4 * 5), 0x2100);
}

#[test]
fn io_bar_of_a_serial_port_gets_a_guest_address() {
    let (model, at) = function();
    model.bar(at, 0, 0xffff_fff9);
    let bars = run(&model, at).unwrap();
    assert_eq!(bars.first_io().unwrap().1.gpa(), Gpa(0x2000_0000_1000));
    assert_eq!(model.get(at, 0x10), 0x1001);
}

#[test]
fn io_bar_with_sixteen_address_bits_is_sized() {
    let (model, at) = function();
    model.bar(at, 0, 0x0000_ffe1);
    assert_eq!(run(&model, at).unwrap().get(0).unwrap().len, 0x20);
}

#[test]
fn io_bar_without_an_io_window_is_left_without_a_place() {
    let (model, at) = function();
    model.bar(at, 0, 0xffff_ffe1);
    let mut windows = windows(&windows_of_qemu()[1..], &[]).unwrap();
    let bars = assign(&model, at, &mut windows).unwrap();
    assert_eq!(bars.get(0), Some(Bar { io: true, len: 0x20, registers: None }));
    assert_eq!(bars.first_io(), None);
}

#[test]
fn wide_bar_goes_to_the_narrow_window_where_there_is_no_other() {
    let (model, at) = function();
    model.bar(at, 4, 0xffff_c004);
    model.bar(at, 5, 0xffff_ffff);
    let mut windows = windows(&windows_of_qemu()[..2], &[]).unwrap();
    let bars = assign(&model, at, &mut windows).unwrap();
    assert_eq!(bars.get(4).unwrap().registers.map(|place| place.gpa()), Some(Gpa(0x2000_8000_0000)));
}

#[test]
fn firmware_placement_is_ignored() {
    case!("BAR-04", Ignore);
    let (model, at) = function();
    model.bar(at, 1, 0xffff_f000);
    model.set(at, 0x14, 0x0010_0000);
    assert_eq!(
        run(&model, at).unwrap().get(1).unwrap().registers.map(|place| place.gpa()),
        Some(Gpa(0x2000_8000_0000))
    );
}

#[test]
fn expansion_rom_is_turned_off() {
    let (model, at) = function();
    model.set(at, ROM, 0xc000_0001);
    run(&model, at).unwrap();
    assert_eq!(model.get(at, ROM), 0);
}

#[test]
fn size_of_zero_is_refused_not_replaced_by_firmware_values() {
    case!("BAR-01", Refuse);
    for bits in [0x8, 0x1] {
        let (model, at) = function();
        model.bar(at, 0, bits);
        assert_eq!(run(&model, at), Err(BarError::NoSize { bar: 0 }), "{bits:#x}");
    }
    let (model, at) = function();
    model.bar(at, 2, 0x4);
    assert_eq!(run(&model, at), Err(BarError::NoSize { bar: 2 }));
}

#[test]
fn wide_bar_in_the_last_place_is_refused() {
    case!("BAR-03", Refuse);
    let (model, at) = function();
    model.bar(at, 5, 0xffff_f004);
    assert_eq!(run(&model, at), Err(BarError::NoSecondHalf { bar: 5 }));
}

#[test]
fn second_half_is_never_a_bar_of_its_own() {
    case!("BAR-03", Refuse);
    let (model, at) = function();
    model.bar(at, 0, 0xffff_f004);
    model.bar(at, 1, 0xffff_f000);
    // The second half has 12 bits fixed to 0: no power of two.
    assert!(matches!(run(&model, at), Err(BarError::Holes { bar: 0, .. })));
}

#[test]
fn reserved_types_are_refused() {
    case!("BAR-07", Refuse);
    for bits in [0x2, 0x6, 0xa, 0xe, 0x3] {
        let (model, at) = function();
        model.bar(at, 0, 0xffff_f000 | bits);
        assert_eq!(run(&model, at), Err(BarError::ReservedType { bar: 0, bits: bits as u8 }), "{bits:#x}");
    }
}

#[test]
fn holes_in_the_size_are_refused() {
    let (model, at) = function();
    model.bar(at, 0, 0xfff0_f000);
    assert!(matches!(run(&model, at), Err(BarError::Holes { bar: 0, .. })));
}

#[test]
fn bar_larger_than_its_window_is_refused() {
    let (model, at) = function();
    model.bar(at, 0, 0x8000_0000);
    model.bar(at, 1, 0xffff_f000);
    let no_room = BarError::NoRoom { bar: 1, space: Space::Memory32, len: 0x1000 };
    assert_eq!(run(&model, at), Err(no_room), "the first took all of it");
    let (model, at) = function();
    model.bar(at, 0, 0x0000_0004);
    model.bar(at, 1, 0x8000_0000);
    assert!(matches!(run(&model, at), Err(BarError::NoRoom { bar: 0, .. })));
}

#[test]
fn address_that_does_not_read_back_is_refused() {
    case!("BAR-06", Refuse);
    let (model, at) = function();
    model.bar(at, 0, 0xffff_f000);
    model.stick(at, 0x10, 0xdead_0000);
    let not_taken = BarError::NotTaken { bar: 0, wanted: 0x8000_0000, found: 0xdead_0000 };
    assert_eq!(run(&model, at), Err(not_taken));
}

#[test]
fn removed_function_is_refused() {
    case!("CAP-14", Refuse);
    let (model, at) = function();
    model.remove(at);
    assert!(run(&model, at).is_err());
}
