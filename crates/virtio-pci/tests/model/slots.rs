//! Devices that appear after the scan.

use postern_cases::case;
use std::vec::Vec;
use testkit::pci_model::Model;
use virtio_pci::pci::functions::Function;
use virtio_pci::pci::scan::{MAX_FUNCTIONS, scan};
use virtio_pci::pci::slots::Slots;

const ALL: (u8, u8) = (0, 255);

fn slots(model: &Model) -> Slots {
    Slots::of(&scan(model, ALL), ALL.0)
}

fn places(appeared: &[Function]) -> Vec<(u8, u8)> {
    appeared.iter().map(|function| (function.at.bus(), function.at.device())).collect()
}

#[test]
fn a_device_that_appears_is_found_once_and_a_known_one_never() {
    case!("LIF-03", Ignore, H);
    let model = Model::default();
    model.add(1, 0, 0x1af4, 0x1042);
    let mut slots = slots(&model);
    assert!(slots.appeared(&model).is_empty());
    let at = model.add(31, 0, 0x1af4, 0x1041);
    let appeared = slots.appeared(&model);
    assert_eq!((appeared.len(), appeared[0].at, appeared[0].device), (1, at, 0x1041));
    model.add(0, 0, 0x1b36, 0xd);
    assert_eq!(places(&slots.appeared(&model)), [(0, 0)]);
    assert!(slots.appeared(&model).is_empty());
}

#[test]
fn a_device_that_appears_behind_a_bridge_is_found() {
    let model = Model::default();
    let (_, wire) = model.add_bridge(0, 2);
    let (_, inner) = model.add_bridge(wire, 3);
    let mut slots = slots(&model);
    assert!(slots.appeared(&model).is_empty());
    model.add_on(wire, 7, 0, 1, 1);
    model.add_on(inner, 8, 0, 1, 1);
    assert_eq!(places(&slots.appeared(&model)), [(1, 7), (2, 8)]);
}

#[test]
fn a_function_of_a_device_that_was_there_is_no_device() {
    let model = Model::default();
    model.add(4, 0, 1, 1);
    let mut slots = slots(&model);
    model.add(4, 1, 1, 1);
    model.add(5, 1, 1, 1);
    assert!(slots.appeared(&model).is_empty());
}

#[test]
fn a_host_that_fills_every_slot_is_named_32_devices_a_bus() {
    case!("LIF-03", Ignore, H);
    let model = Model::default();
    let mut slots = slots(&model);
    let mut found = 0;
    for device in 0..32 {
        model.add(device, 0, 1, 1);
        found += slots.appeared(&model).len();
        // Another device in the same slot is not reported.
        model.add(device, 0, 2, 2);
        found += slots.appeared(&model).len();
    }
    assert_eq!(found, 32);
}

#[test]
fn after_an_incomplete_scan_no_device_is_new() {
    let model = Model::default();
    for device in 0..31 {
        for function in 0..8 {
            let at = model.add(device, function, 1, 1);
            model.set8(at, 0x0e, 0x80);
        }
    }
    let (_, wire) = model.add_bridge(0, 31);
    for device in 0..8 {
        model.add_on(wire, device, 0, 1, 1);
    }
    let found = scan(&model, ALL);
    assert_eq!((found.full, found.functions.len()), (true, MAX_FUNCTIONS));
    assert!(Slots::of(&found, 0).appeared(&model).is_empty());
}
