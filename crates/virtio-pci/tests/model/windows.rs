//! Tests of `pci::windows` with the model.

use papr::addr::Gpa;
use papr::addr::GpaRange;
use postern_cases::case;
use pseries_tree::{Machine, Tree};
use std::vec::Vec;
use svm_dma::memory_map::Own;
use testkit::pci_model::windows_of_qemu;
use testkit::trees::POWER9_256M;
use testkit::unchecked::{memory_map, registers, windows};
use virtio_pci::pci::windows::{Placement, Space, Window, WindowError, Windows};

const RAM: GpaRange = GpaRange { start: Gpa(0), len: 1 << 30 };

fn memory32(bus: u64, gpa: u64, len: u64) -> Window {
    Window { space: Space::Memory32, bus, gpa: Gpa(gpa), len }
}

#[test]
fn windows_over_any_memory_of_the_map_give_out_no_registers() {
    let mut machine = Machine::read(&Tree::check(POWER9_256M).unwrap()).unwrap();
    let range = |start, len| GpaRange::new(Gpa(start), len).unwrap();
    machine.memory = std::vec![range(0, 0x1000_0000), range(0x4000_0000, 0x1000_0000)];
    let (image, tree) = (range(0x40_0000, 0x24_0000), range(0x0fe0_0000, 0x4000));
    let own = Own { image, tree_buffer: range(0x50_0000, 0x10_0000), tree };
    let map = memory_map(&machine, &own, true).unwrap();
    for region in map.memory() {
        let end = region.end().0;
        for gpa in [region.start.0, end - 1, end - 0x1000, end - 0x800_0000] {
            let window = memory32(0x8000_0000, gpa, 0x1000);
            let found = Windows::new(&[window], &map).map(drop);
            assert_eq!(found, Err(WindowError::OverMemory(window)), "{gpa:#x}");
        }
    }
    assert!(Windows::new(&machine.bridges[0].windows, &map).is_ok());
}

#[test]
fn windows_of_qemu_are_accepted() {
    let mut windows = windows(&windows_of_qemu(), &[RAM]).unwrap();
    let io = windows.take(Space::Io, 8).unwrap();
    assert_eq!(io, Placement { bus: 0x1000, registers: registers(Gpa(0x2000_0000_1000), 8) });
    let first = windows.take(Space::Memory32, 0x100).unwrap();
    assert_eq!(first, Placement { bus: 0x8000_0000, registers: registers(Gpa(0x2000_8000_0000), 0x100) });
    let second = windows.take(Space::Memory32, 0x4000).unwrap();
    assert_eq!(second.bus, 0x8000_4000);
    let far = windows.take(Space::Memory64, 0x4000).unwrap();
    assert_eq!(far, Placement { bus: 0x2100_0000_0000, registers: registers(Gpa(0x2100_0000_0000), 0x4000) });
}

#[test]
fn window_over_guest_memory_refuses_the_bridge() {
    case!("BAR-05", Refuse);
    let bad = memory32(0x8000_0000, 0x3fff_f000, 0x2000);
    assert_eq!(windows(&[bad], &[RAM]).unwrap_err(), WindowError::OverMemory(bad));
}

#[test]
fn empty_window_refuses_the_bridge() {
    case!("BAR-05", Refuse);
    let bad = memory32(0x8000_0000, 1 << 40, 0);
    assert_eq!(windows(&[bad], &[]).unwrap_err(), WindowError::Empty(bad));
}

#[test]
fn wrapping_windows_refuse_the_bridge() {
    case!("BAR-05", Refuse);
    for bad in [
        memory32(0x8000_0000, u64::MAX - 1, 0x1000),
        memory32(0xffff_f000, 1 << 40, 0x2000),
        Window { space: Space::Memory64, bus: u64::MAX, gpa: Gpa(1 << 40), len: 2 },
    ] {
        assert_eq!(windows(&[bad], &[]).unwrap_err(), WindowError::Wraps(bad));
    }
}

#[test]
fn overlapping_windows_refuse_the_bridge() {
    case!("BAR-05", Refuse);
    let a = memory32(0x8000_0000, 1 << 40, 0x2000);
    let same_cpu = memory32(0x9000_0000, (1 << 40) + 0x1000, 0x2000);
    let same_bus = memory32(0x8000_1000, 1 << 41, 0x2000);
    for b in [same_cpu, same_bus] {
        assert_eq!(windows(&[a, b], &[]).unwrap_err(), WindowError::Overlap(b, a));
    }
}

#[test]
fn pieces_never_overlap_and_end_with_the_window() {
    let mut windows = windows(&[memory32(0x8000_0000, 1 << 40, 0x8000)], &[]).unwrap();
    let mut given: Vec<GpaRange> = Vec::new();
    for len in [0x20, 0x1000, 0x2000, 0x4000, 0x1000] {
        if let Some(piece) = windows.take(Space::Memory32, len) {
            let range = GpaRange::new(piece.registers.gpa(), len).unwrap();
            assert!(given.iter().all(|other| !other.overlaps(&range)));
            assert!(piece.bus.is_multiple_of(len) && piece.bus + len <= 0x8000_8000);
            given.push(range);
        }
    }
    assert_eq!(given.len(), 4, "the last one finds no room");
}

#[test]
fn piece_larger_than_any_address_is_refused() {
    let mut windows = windows(&windows_of_qemu(), &[]).unwrap();
    assert_eq!(windows.take(Space::Memory64, 1 << 63), None);
    assert_eq!(windows.take(Space::Memory32, 1 << 40), None);
}
