//! Memory, reservations and the initrd, one violation in each test.

use super::{cells, faults, machine, memory, range, read, small, with};
use crate::machine::MachineError;
use crate::warnings::Fault;
use postern_cases::case;
use std::vec::Vec;
use testkit::trees::{Builder, POWER9_256M, POWER9_512M_INITRD};

#[test]
fn dt_08_bad_cells_and_short_reg_skip_the_node() {
    case!("DT-08", Ignore);
    for count in [0, 3, 5, u32::MAX] {
        let blob = Builder::edited(POWER9_256M, |path, name, value| {
            let root_cells = path.is_empty() && name == "#address-cells";
            Some(if root_cells { cells(&[count]) } else { value.to_vec() })
        });
        assert_eq!(read(&blob), Err(MachineError::NoMemory), "{count}");
    }
    for reg in [&[][..], &[0; 3], &[0; 12], &[0; 17]] {
        let blob = small(|tree| {
            let odd = tree.node("memory@1").prop("device_type", b"memory\0").prop("reg", reg).end();
            memory(odd, "memory@0", &[0, 0, 0, 0x1000_0000])
        });
        let machine = machine(&blob);
        assert_eq!(machine.memory, [range(0, 0x1000_0000)]);
        assert!(faults(&machine).contains(&Fault::Malformed("reg")));
    }
}

#[test]
fn dt_09_memory_that_overlaps_wraps_or_is_empty_is_left_out() {
    case!("DT-09", Ignore);
    let blob = small(|tree| {
        let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
        let tree = memory(tree, "memory@1", &[0, 0x0800_0000, 0, 0x1000_0000]);
        let tree = memory(tree, "memory@2", &[u32::MAX, 0xffff_0000, 0, 0x1000_0000]);
        let tree = memory(tree, "memory@3", &[0, 0x4000_0000, 0, 0]);
        memory(tree, "memory@4", &[0, 0x2000_0000, 0, 0x1000_0000, 0, 0x4000_0000, 0x10_0000, 0])
    });
    let machine = machine(&blob);
    assert_eq!(machine.memory, [range(0, 0x1000_0000), range(0x2000_0000, 0x1000_0000)]);
    let odd = faults(&machine);
    assert_eq!(odd[0], Fault::Overlaps { start: 0x0800_0000, len: 0x1000_0000 });
    assert_eq!(odd[1], Fault::Wraps { start: 0xffff_ffff_ffff_0000, len: 0x1000_0000 });
    assert_eq!(odd[2], Fault::Empty);
    assert_eq!(odd[3], Fault::Wraps { start: 0x4000_0000, len: 1 << 52 });
}

#[test]
fn dt_09_a_machine_needs_memory_and_some_at_zero() {
    case!("DT-09", Halt);
    assert_eq!(read(&small(|tree| tree)), Err(MachineError::NoMemory));
    let blob = small(|tree| memory(tree, "memory@1", &[0, 0x1000_0000, 0, 0x1000_0000]));
    assert_eq!(read(&blob), Err(MachineError::NoMemoryAtZero(0x1000_0000)));
}

#[test]
fn dt_10_of_two_equal_memory_nodes_the_first_counts() {
    case!("DT-10", Ignore);
    let blob = small(|tree| {
        let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
        memory(tree, "memory@0", &[0, 0, 0, 0x7000_0000])
    });
    assert_eq!(machine(&blob).memory, [range(0, 0x1000_0000)]);
}

#[test]
fn dt_17_reservations_that_wrap_reach_to_the_end() {
    case!("DT-17", Fallback);
    let blob = small(|tree| memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).reserve(0x100_0000, u64::MAX));
    let machine = machine(&blob);
    assert_eq!(machine.reserved, [range(0x100_0000, u64::MAX - 0x100_0000)]);
    assert_eq!(faults(&machine)[0], Fault::Wraps { start: 0x100_0000, len: u64::MAX });
}

#[test]
fn reserved_memory_is_honoured_and_never_skipped() {
    let reserving = |reg: &[u32]| {
        small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).node("reserved-memory");
            let tree = tree.cells("#address-cells", &[2]).cells("#size-cells", &[2]).node("later").end();
            tree.node("log@1000000").cells("reg", reg).end().end()
        })
    };
    assert_eq!(machine(&reserving(&[0, 0x100_0000, 0, 0x1_0000])).reserved, [range(0x100_0000, 0x1_0000)]);
    assert_eq!(read(&reserving(&[0, 0x100_0000, 0])), Err(MachineError::MalformedReservation));
    let many = (0..513).fold(Builder::new(), |tree, n| tree.reserve(n << 16, 0x1000));
    let many =
        memory(many.node("").cells("#size-cells", &[2]), "memory@0", &[0, 0, 0, 0x1000_0000]).end().blob();
    assert_eq!(read(&many), Err(MachineError::TooManyReservations(512)));
}

#[test]
fn an_initrd_that_is_not_memory_is_left_out() {
    let end = |value: u32| {
        machine(&with(POWER9_512M_INITRD, "/chosen", "linux,initrd-end", Some(&cells(&[value]))))
    };
    assert_eq!(end(0x42_0000).initrd, None);
    assert_eq!(end(0).initrd, None);
    let machine = end(0x2000_0001);
    assert_eq!(machine.initrd, None);
    assert_eq!(faults(&machine), [Fault::OutsideMemory { start: 0x42_0000, len: 0x1fbe_0001 }]);
    let wide = with(POWER9_512M_INITRD, "/chosen", "linux,initrd-end", Some(&cells(&[0, 0x43_0000])));
    assert_eq!(self::machine(&wide).initrd, Some(range(0x42_0000, 0x1_0000)));
}

/// A tree with 256 MiB and a description of blocks of 256 MiB.
fn with_blocks(name: &str, list: &[u32]) -> Vec<u8> {
    small(|tree| {
        let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
        let node = tree.node("ibm,dynamic-reconfiguration-memory").cells("ibm,lmb-size", &[0, 0x1000_0000]);
        node.cells(name, list).end()
    })
}

/// As QEMU's `pc-dimm` makes them: reserved, assigned and possible memory.
const RUNS: [u32; 19] =
    [3, 4, 0, 0, 0, 0, 0x80, 2, 0, 0x4000_0000, 0x8000_0004, 0, 8, 26, 0, 0x6000_0000, 0x8000_0006, 0, 0];

#[test]
fn memory_that_was_added_by_blocks_is_memory() {
    let whole = [range(0, 0x1000_0000), range(0x4000_0000, 0x2000_0000)];
    assert_eq!(machine(&with_blocks("ibm,dynamic-memory-v2", &RUNS)).memory, whole);
    let single = |at: u32, flags: u32| [0, at, 0x8000_0000, 0, 0, flags];
    let list =
        [single(0x1000_0000, 0x80), single(0x4000_0000, 8), single(0x5000_0000, 8), single(0x6000_0000, 0)];
    let list: Vec<u32> = core::iter::once(4).chain(list.concat()).collect();
    assert_eq!(machine(&with_blocks("ibm,dynamic-memory", &list)).memory, whole);
}

#[test]
fn blocks_that_cannot_be_read_or_lie_over_memory_are_left_out_by_name() {
    case!("DT-09", Ignore);
    let first = [range(0, 0x1000_0000)];
    let mut short = RUNS.to_vec();
    short.pop();
    let mut more = RUNS;
    more[0] = 4;
    for list in [&short[..], &more, &[], &[1]] {
        let odd = machine(&with_blocks("ibm,dynamic-memory-v2", list));
        assert_eq!(odd.memory, first);
        assert!(faults(&odd).contains(&Fault::Malformed("ibm,dynamic-memory-v2")), "{list:x?}");
    }
    let mut over = RUNS;
    over[9] = 0;
    let odd = machine(&with_blocks("ibm,dynamic-memory-v2", &over));
    assert_eq!(odd.memory, first);
    assert!(faults(&odd).contains(&Fault::Overlaps { start: 0, len: 0x2000_0000 }));
    let mut wraps = RUNS;
    (wraps[7], wraps[8]) = (u32::MAX, u32::MAX);
    assert_eq!(machine(&with_blocks("ibm,dynamic-memory-v2", &wraps)).memory, first);
}
