//! Placement of BARs and of bridge windows.

use papr::addr::Gpa;
use papr::device_id::DeviceId;
use postern_cases::case;
use std::vec::Vec;
use testkit::pci_model::{Model, windows_of_qemu};
use testkit::unchecked::windows;
use virtio_pci::pci::bars::BarError;
use virtio_pci::pci::bridge::BridgeError;
use virtio_pci::pci::placement::{PlaceError, Places, place};
use virtio_pci::pci::scan::{Scan, scan};
use virtio_pci::pci::windows::{Space, Window};

/// The BARs of a modern virtio function of QEMU.
fn disk(model: &Model, wire: u8, device: u8) -> DeviceId {
    let at = model.add_on(wire, device, 0, 0x1af4, 0x1042);
    model.bar(at, 1, 0xffff_f000);
    model.bar(at, 4, 0xffff_c00c);
    model.bar(at, 5, 0xffff_ffff);
    at
}

/// QEMU's `pci-bridge` with its own BAR, of 64 bits and not prefetchable.
fn bridge(model: &Model, wire: u8, device: u8) -> (DeviceId, u8) {
    let (at, behind) = model.add_bridge(wire, device);
    model.bar(at, 0, 0xffff_ff04);
    model.bar(at, 1, 0xffff_ffff);
    (at, behind)
}

fn run(model: &Model) -> (Scan, Places) {
    let found = scan(model, (0, 255));
    assert!(found.faults.is_empty());
    let mut windows = windows(&windows_of_qemu(), &[]).unwrap();
    let places = place(model, &found.functions, &|f| f.vendor == 0x1af4, &mut windows);
    (found, places)
}

fn gpas(places: &Places, at: DeviceId) -> [Option<Gpa>; 2] {
    let bars = places[&at].unwrap();
    [1, 4].map(|bar| bars.get(bar).unwrap().registers.map(|place| place.gpa()))
}

/// First and last address of the memory and of the prefetchable window.
fn spans(model: &Model, bridge: DeviceId) -> [(u64, u64); 2] {
    let [memory, prefetchable, base, limit] =
        [0x20, 0x24, 0x28, 0x2c].map(|register| u64::from(model.get(bridge, register)));
    let pair = |low: u64, base: u64, limit: u64| {
        (base << 32 | (low & 0xfff0) << 16, limit << 32 | low & 0xfff0_0000 | 0xf_ffff)
    };
    [pair(memory, 0, 0), pair(prefetchable, base, limit)]
}

#[test]
fn each_bridge_forwards_what_is_behind_it_and_no_more() {
    let model = Model::default();
    let (outer, behind) = bridge(&model, 0, 1);
    let (inner, innermost) = bridge(&model, behind, 2);
    disk(&model, innermost, 3);
    disk(&model, 0, 4);
    let (found, places) = run(&model);
    let [disk_on_root, disk_inside] = [None, Some(2)].map(|bus| {
        found.functions.iter().find(|f| f.vendor == 0x1af4 && bus.is_none_or(|b| f.at.bus() == b)).unwrap().at
    });
    // The outer bridge's own BAR lies first in the 64-bit window, the inner one's in what is forwarded below 4 GiB.
    assert_eq!(spans(&model, outer), [(0x8000_0000, 0x801f_ffff), (0x2100_0010_0000, 0x2100_001f_ffff)]);
    assert_eq!(spans(&model, inner), [(0x8010_0000, 0x801f_ffff), (0x2100_0010_0000, 0x2100_001f_ffff)]);
    assert_eq!(gpas(&places, disk_inside), [Some(Gpa(0x2000_8010_0000)), Some(Gpa(0x2100_0010_0000))]);
    assert_eq!(gpas(&places, disk_on_root), [Some(Gpa(0x2000_8020_0000)), Some(Gpa(0x2100_0020_0000))]);
    for at in [outer, inner] {
        assert_eq!(model.get(at, 0x04) & 7, 2, "memory, no I/O, no bus mastering");
        assert_eq!(model.get(at, 0x1c) & 0xf0f0, 0x00f0, "no I/O");
    }
}

#[test]
fn a_bridge_without_a_wanted_device_behind_it_stays_shut() {
    let model = Model::default();
    let (at, behind) = bridge(&model, 0, 1);
    model.add_on(behind, 3, 0, 0x8086, 0x1042);
    let (_, places) = run(&model);
    assert!(places.is_empty());
    assert_eq!(model.get(at, 0x04) & 7, 0);
    assert_eq!(model.get(at, 0x20), 0x0000_fff0);
}

#[test]
fn a_bridge_without_io_and_64_bit_windows_uses_its_memory_window() {
    let model = Model::default();
    let (at, behind) = bridge(&model, 0, 1);
    model.make_read_only(at, 0x1c);
    model.set(at, 0x1c, 0);
    model.set(at, 0x24, 0);
    let inside = disk(&model, behind, 3);
    model.bar(inside, 0, 0xffff_ffe1);
    let (found, places) = run(&model);
    let bars = places[&found.functions[1].at].unwrap();
    assert_eq!(bars.get(0).unwrap().registers.map(|place| place.gpa()), None);
    assert_eq!(bars.get(1).unwrap().registers.map(|place| place.gpa()), Some(Gpa(0x2000_8000_0000)));
    assert_eq!(bars.get(4).unwrap().registers.map(|place| place.gpa()), Some(Gpa(0x2000_8000_4000)));
    assert_eq!(spans(&model, at)[0], (0x8000_0000, 0x800f_ffff));
}

#[test]
fn io_behind_a_bridge_is_forwarded() {
    let model = Model::default();
    let (at, behind) = bridge(&model, 0, 1);
    let inside = disk(&model, behind, 3);
    model.bar(inside, 0, 0xffff_ffe1);
    let (found, places) = run(&model);
    let (_, gpa) = places[&found.functions[1].at].unwrap().first_io().unwrap();
    assert_eq!(gpa.gpa(), Gpa(0x2000_0000_1000));
    assert_eq!(model.get(at, 0x1c) & 0xf0f0, 0x1010);
    assert_eq!(model.get(at, 0x04) & 7, 3);
}

#[test]
fn bridge_that_does_not_take_its_window_refuses_what_is_behind_it_and_nothing_else() {
    case!("BRG-04", Refuse);
    for register in [0x20, 0x28] {
        let model = Model::default();
        let (at, behind) = bridge(&model, 0, 1);
        let (_, inner) = bridge(&model, behind, 2);
        disk(&model, inner, 3);
        disk(&model, 0, 4);
        model.stick(at, register, 0x7777_7770);
        let found = scan(&model, (0, 255));
        let mut windows = windows(&windows_of_qemu(), &[]).unwrap();
        let places = place(&model, &found.functions, &|f| f.vendor == 0x1af4, &mut windows);
        if register == 0x20 {
            // The window cannot even be shut.
            assert!(matches!(found.faults[..], [(_, BridgeError::NotTaken { register: 0x20, .. })]));
            assert_eq!(places.len(), 1);
            continue;
        }
        let disks: Vec<_> = places.iter().map(|(at, place)| (at.bus(), *place)).collect();
        assert!(disks[0].0 == 0 && disks[0].1.is_ok());
        let Err(PlaceError::Bridge(refused, BridgeError::NotTaken { register: 0x28, .. })) = disks[1].1
        else {
            panic!("{disks:?}")
        };
        assert_eq!(refused, at);
    }
}

#[test]
fn window_without_room_for_a_bridge_refuses_the_device_behind_it() {
    case!("BRG-04", Refuse);
    let model = Model::default();
    let (_, behind) = bridge(&model, 0, 1);
    disk(&model, behind, 3);
    let found = scan(&model, (0, 255));
    let small =
        [Window { space: Space::Memory32, bus: 0x8000_0000, gpa: Gpa(0x2000_8000_0000), len: 0x18_0000 }];
    let mut windows = windows(&small, &[]).unwrap();
    let places = place(&model, &found.functions, &|f| f.vendor == 0x1af4, &mut windows);
    let place = places[&found.functions[1].at];
    assert!(
        matches!(place, Err(PlaceError::Bar(BarError::NoRoom { space: Space::Memory32, .. }))),
        "{place:?}"
    );
}

#[test]
fn pieces_on_both_sides_of_a_bridge_never_overlap() {
    let mut outer = windows(&windows_of_qemu(), &[]).unwrap();
    let mut inner = outer.behind_bridge(virtio_pci::pci::windows::Forwards { io: true, memory64: true });
    assert!(inner.are_behind_bridge() && !outer.are_behind_bridge());
    let mut given: Vec<(u64, u64)> = Vec::new();
    for space in [Space::Io, Space::Memory32, Space::Memory64] {
        given.extend([0x1000, 0x20].map(|len| (inner.take(space, len).unwrap().registers.gpa().0, len)));
    }
    let spans = outer.come_back_from(&inner);
    assert!(spans.io.is_some() && spans.memory32.is_some() && spans.memory64.is_some());
    for space in [Space::Io, Space::Memory32, Space::Memory64] {
        given.extend([0x20, 0x1000].map(|len| (outer.take(space, len).unwrap().registers.gpa().0, len)));
    }
    given.sort_unstable();
    assert!(given.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{given:x?}");
}
