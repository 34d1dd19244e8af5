//! No two owners have a frame in common, whatever the tree says, or there is no map.

use papr::addr::{Gpa, GpaRange};
use postern_cases::case;
use pseries_tree::guard::Tree;
use pseries_tree::machine::Machine;
use std::string::ToString;
use std::vec;
use std::vec::Vec;
use svm_dma::memory_map::{Claim, Kind, MapError, MemoryMap, Own, whole_frames};
use testkit::trees::{
    POWER9_1G_NUMA, POWER9_64G, POWER9_256M, POWER9_512M_INITRD, POWER10_4G_SMP2, REAL, SLOF_512M_MARKER,
    VOF_512M,
};
use testkit::unchecked::memory_map;

mod arbitrary;

const FRAME: u64 = 0x1_0000;
const HIGH_END: u64 = 1 << 32;
const POOL: u64 = 8 << 20;
const HEAP: u64 = 32 << 20;
/// Some of the real trees were made for an image of 4 bytes, and QEMU put the initrd behind it.
const SMALL: GpaRange = GpaRange { start: Gpa(0x40_0000), len: 2 * FRAME };

fn range(start: u64, len: u64) -> GpaRange {
    GpaRange::new(Gpa(start), len).unwrap()
}

fn machine(blob: &[u8]) -> Machine {
    Machine::read(&Tree::check(blob).unwrap()).unwrap()
}

/// A real machine with more reservations.
fn reserving(blob: &[u8], reserved: &[(u64, u64)]) -> Machine {
    let mut machine = machine(blob);
    machine.reserved.extend(reserved.iter().map(|(start, len)| range(*start, *len)));
    machine
}

/// As QEMU loads an image without firmware: the tree lies high in memory.
fn own() -> Own {
    Own {
        image: range(0x40_0000, 0x24_0000),
        tree_buffer: range(0x50_0000, 0x10_0000),
        tree: range(0x0fe0_0000, 0x4000),
    }
}

fn map(machine: &Machine) -> MemoryMap {
    memory_map(machine, &own(), true).unwrap()
}

fn take(map: &mut MemoryMap, kind: Kind, len: u64) -> Result<GpaRange, MapError> {
    map.take(kind, len).map(|frames| frames.range())
}

#[test]
fn a_tree_must_lie_in_its_buffer_or_outside_the_image() {
    let at = |start, len| Own { tree: range(start, len), ..own() };
    let (image, room) = (own().image, own().tree_buffer);
    for apart in [at(room.start.0, room.len), at(room.start.0, 64), at(image.end().0, 64), own()] {
        assert_eq!(apart.tree_is_apart(), Ok(()), "{apart:x?}");
    }
    let over = [
        at(image.start.0, 64),
        at(room.start.0 - FRAME, 64),
        at(room.start.0, room.len + 1),
        at(room.end().0, 64),
        // The last frame of a tree that ends there is the image's first.
        at(image.start.0 - FRAME, FRAME + 1),
    ];
    for over in over {
        let claim = Claim { kind: Kind::Tree, range: whole_frames(over.tree) };
        let other = Claim { kind: Kind::Image, range: image };
        assert_eq!(over.tree_is_apart(), Err(MapError::Overlap { claim, other }), "{over:x?}");
    }
}

/// The two owners that have a frame in common.
fn overlap(result: Result<MemoryMap, MapError>) -> (Kind, Kind) {
    match result {
        Err(MapError::Overlap { claim, other }) => (claim.kind, other.kind),
        other => panic!("{other:x?}"),
    }
}

#[test]
fn the_lowest_free_memory_is_used_after_the_image() {
    let mut map = map(&machine(POWER9_256M));
    assert_eq!(take(&mut map, Kind::Pool, POOL), Ok(range(0x64_0000, POOL)));
    assert_eq!(take(&mut map, Kind::Heap, HEAP), Ok(range(0xe4_0000, HEAP)));
    assert_eq!(map.pool(), Some(range(0x64_0000, POOL)));
}

#[test]
fn small_pieces_fit_below_the_image_but_never_over_the_vectors() {
    assert_eq!(take(&mut map(&machine(POWER9_256M)), Kind::Pool, 1), Ok(range(FRAME, FRAME)));
}

#[test]
fn the_rest_is_all_unused_memory() {
    for blob in [POWER9_1G_NUMA, POWER9_64G, POWER9_256M, POWER9_512M_INITRD, POWER10_4G_SMP2] {
        let machine = machine(blob);
        let mut map = memory_map(&machine, &Own { image: SMALL, ..own() }, false).unwrap();
        take(&mut map, Kind::Pool, POOL).unwrap();
        take(&mut map, Kind::Heap, HEAP).unwrap();
        let taken: Vec<GpaRange> = map.claims().iter().map(|claim| claim.range).collect();
        let windows: Vec<&Claim> = map.claims().iter().filter(|claim| claim.kind == Kind::Window).collect();
        let used: u64 = taken.iter().map(|range| range.len).sum();
        let used = used - windows.iter().map(|claim| claim.range.len).sum::<u64>();
        let mut frames = map.take_rest().unwrap();
        assert_eq!(frames.top().0, machine.memory.iter().map(|region| region.end().0).max().unwrap());
        assert!(frames.bytes() + used >= machine.memory_bytes());
        while let Some(range) = frames.take(1, 1 << 30).map(|frames| frames.range()) {
            assert!(machine.memory.iter().any(|region| region.contains(range.start, range.len)));
            assert!(!taken.iter().any(|taken| taken.overlaps(&range)), "{range:x?}");
        }
    }
}

#[test]
fn every_real_machine_has_a_map() {
    for blob in REAL {
        let machine = machine(blob);
        // The boot stage reserved the image that read the tree.
        let notes =
            machine.reserved.iter().find(|range| range.start == own().image.start && range.len > FRAME);
        let own = Own { image: notes.copied().unwrap_or(SMALL), ..own() };
        // A secure guest refuses a reservation inside its image, such as that of an image of 4 bytes.
        let secure = !machine.reserved.contains(&range(0x40_0000, 4));
        for secure in [false, secure] {
            let mut map = memory_map(&machine, &own, secure).unwrap();
            take(&mut map, Kind::Pool, POOL).unwrap();
            take(&mut map, Kind::Heap, HEAP).unwrap();
        }
    }
}

#[test]
fn mem_01_no_frame_of_the_ultravisor_may_lie_over_the_image() {
    case!("MEM-01", Halt);
    // RTAS, thread state and ESM blob, as the published source sizes them, over the image's first frame,
    // its middle and its stacks.
    for start in [0x40_0000, 0x3f_0000, 0x50_0000, 0x63_0000] {
        for len in [0x1_0000, 0x2_0000, 0x6_0000] {
            let hit = reserving(POWER9_256M, &[(start, len)]);
            let touches = range(start, len).overlaps(&own().image);
            let map = memory_map(&hit, &own(), true);
            assert_eq!(map.is_err(), touches, "{start:#x}+{len:#x}");
            if touches {
                assert_eq!(overlap(map), (Kind::Reservation, Kind::Image));
            }
        }
    }
}

#[test]
fn mem_01_one_byte_of_a_reservation_takes_a_whole_frame() {
    case!("MEM-01", Halt);
    let end = own().image.end().0;
    for (start, len) in [(0x40_0000 - 1, 2), (end - 1, 1), (0x40_0000 - 8, 9)] {
        let map = memory_map(&reserving(POWER9_256M, &[(start, len)]), &own(), true);
        assert_eq!(overlap(map), (Kind::Reservation, Kind::Image));
    }
    for (start, len) in [(0x40_0000 - 1, 1), (end, 1)] {
        assert!(memory_map(&reserving(POWER9_256M, &[(start, len)]), &own(), true).is_ok());
    }
}

#[test]
fn mem_01_the_loaders_note_of_the_image_is_known_by_its_bounds() {
    case!("MEM-01", Halt);
    let image = own().image;
    let result = |start, len, secure| memory_map(&reserving(POWER9_256M, &[(start, len)]), &own(), secure);
    assert!(result(image.start.0, image.len, true).is_ok());
    assert!(result(image.start.0, image.len, false).is_ok());
    // What QEMU loaded may be less than the image takes in memory.
    assert!(result(image.start.0, 4, false).is_ok());
    assert!(result(image.start.0, 4, true).is_err());
    for secure in [false, true] {
        assert!(result(image.start.0, image.len + 1, secure).is_err());
        assert!(result(image.start.0 + 1, image.len - 1, secure).is_err());
    }
}

#[test]
fn mem_02_nothing_may_lie_over_the_first_frame() {
    case!("MEM-02", Halt);
    let reserved = memory_map(&reserving(POWER9_256M, &[(0xffff, 1)]), &own(), false);
    assert_eq!(overlap(reserved), (Kind::Reservation, Kind::FirstFrame));
    let mut described = machine(POWER9_256M);
    described.initrd = Some(range(0x8000, 4));
    assert_eq!(overlap(memory_map(&described, &own(), false)), (Kind::Initrd, Kind::FirstFrame));
    described.initrd = None;
    described.rtas.range = Some(range(0x8000, 4));
    assert_eq!(overlap(memory_map(&described, &own(), false)), (Kind::Rtas, Kind::FirstFrame));
    let tree = Own { tree: range(0x8000, 0x100), ..own() };
    assert_eq!(overlap(memory_map(&machine(POWER9_256M), &tree, false)), (Kind::Tree, Kind::FirstFrame));
}

#[test]
fn mem_03_rtas_initrd_and_tree_may_not_lie_over_the_image() {
    case!("MEM-03", Halt);
    for secure in [false, true] {
        let mut described = machine(POWER9_256M);
        // The size counts rounded up: it ends in the image's first frame.
        described.rtas.range = Some(range(0x3f_8000, 0x82c));
        assert_eq!(overlap(memory_map(&described, &own(), secure)), (Kind::Rtas, Kind::Image));
        described.rtas.range = Some(range(0x3f_0000, 0x82c));
        assert!(memory_map(&described, &own(), secure).is_ok());
        described.initrd = Some(range(0x63_ffff, 4));
        assert_eq!(overlap(memory_map(&described, &own(), secure)), (Kind::Initrd, Kind::Image));
        let tree = |start, len| Own { tree: range(start, len), ..own() };
        let result = |own| memory_map(&machine(POWER9_256M), &own, secure);
        assert_eq!(overlap(result(tree(0x4f_ffff, 0x100))), (Kind::Tree, Kind::Image));
        assert_eq!(overlap(result(tree(0x50_0000, 0x10_0001))), (Kind::Tree, Kind::Image));
        assert!(result(tree(0x50_0000, 0x10_0000)).is_ok());
    }
}

#[test]
fn mem_04_a_window_over_memory_is_refused() {
    case!("MEM-04", Halt);
    let mut over = machine(POWER9_256M);
    over.bridges[0].windows[0].gpa = Gpa(0x0fff_ffff);
    let found = memory_map(&over, &own(), false);
    assert!(matches!(found, Err(MapError::WindowOverMemory { .. })), "{found:x?}");
}

#[test]
fn mem_04_a_reservation_in_a_window_is_refused() {
    case!("MEM-04", Halt);
    let machine = machine(POWER9_256M);
    let window = machine.bridges[0].windows[0].gpa.0;
    let found = memory_map(&reserving(POWER9_256M, &[(window + 8, 1)]), &own(), false);
    assert_eq!(overlap(found), (Kind::Reservation, Kind::Window));
}

#[test]
fn reservations_rtas_and_initrd_may_overlap_each_other() {
    // SLOF's and VOF's trees reserve RTAS and initrd.
    for blob in [SLOF_512M_MARKER, VOF_512M] {
        let machine = machine(blob);
        let image = *machine.reserved.first().unwrap();
        let map = memory_map(&machine, &Own { image, ..own() }, true).unwrap();
        for kind in [Kind::Reservation, Kind::Rtas, Kind::Initrd] {
            assert!(map.claims().iter().any(|claim| claim.kind == kind), "{kind}");
        }
    }
}

#[test]
fn reservations_of_the_ultravisor_are_honoured() {
    // Ten frames from the top of 256 MiB, where the firmware's tree lies as well.
    let ten: Vec<(u64, u64)> = (1..=10).map(|n| (0x1000_0000 - n * FRAME, FRAME)).collect();
    let machine = reserving(POWER9_256M, &ten);
    let room = 0x0fe0_0000 - 0xe4_0000;
    let mut map = map(&machine);
    take(&mut map, Kind::Pool, POOL).unwrap();
    assert_eq!(
        take(&mut map, Kind::Heap, room + 1),
        Err(MapError::NoRoom { kind: Kind::Heap, len: room + 1, longest: room })
    );
    assert_eq!(take(&mut map, Kind::Heap, room).unwrap().end(), Gpa(0x0fe0_0000));
}

#[test]
fn dt_09_an_image_outside_one_region_is_refused() {
    case!("DT-09", Halt);
    let mut gap = machine(POWER9_256M);
    gap.memory = vec![range(0, 0x50_0000), range(0x51_0000, 0x1000_0000)];
    let outside = |image| Err(MapError::OutsideMemory(Claim { kind: Kind::Image, range: image }));
    assert_eq!(memory_map(&gap, &own(), true), outside(own().image));
    let image = range(0x0fff_0000, 0x2_0000);
    assert_eq!(memory_map(&machine(POWER9_256M), &Own { image, ..own() }, true), outside(image));
}

#[test]
fn mem_05_an_image_above_4_gib_is_refused() {
    case!("MEM-05", Halt);
    let high = |start| Own { image: range(start, 0x24_0000), ..own() };
    let result = |start| memory_map(&machine(POWER9_64G), &high(start), true);
    assert_eq!(result(HIGH_END), Err(MapError::ImageTooHigh(high(HIGH_END).image)));
    assert_eq!(result(HIGH_END - FRAME), Err(MapError::ImageTooHigh(high(HIGH_END - FRAME).image)));
    assert!(result(0x7000_0000).is_ok());
}

#[test]
fn dt_17_a_reservation_over_the_pool_moves_it_and_one_over_everything_stops_the_boot() {
    case!("DT-17", Fallback);
    case!("DT-17", Halt);
    let mut moved = map(&reserving(POWER9_256M, &[(0x64_8000, 1)]));
    assert_eq!(take(&mut moved, Kind::Pool, POOL), Ok(range(0x65_0000, POOL)));
    let all = reserving(POWER9_256M, &[(0, 0x1000_0000)]);
    assert_eq!(overlap(memory_map(&all, &own(), true)), (Kind::Reservation, Kind::FirstFrame));
    let rest = reserving(POWER9_256M, &[(FRAME, 0x3f_0000), (0x64_0000, 0x1000_0000)]);
    let room = take(&mut map(&rest), Kind::Pool, POOL);
    assert_eq!(room, Err(MapError::NoRoom { kind: Kind::Pool, len: POOL, longest: 0 }));
}

#[test]
fn impossible_sizes_are_refused() {
    case!("UV-09", Refuse);
    for len in [0, u64::MAX, u64::MAX - 0xffff] {
        let error = take(&mut map(&machine(POWER9_256M)), Kind::Pool, len).unwrap_err();
        assert!(error.is_shortage() && error.to_string().contains("pool"), "{error}");
    }
}

#[test]
fn a_tree_that_reserves_the_end_of_memory_by_wrapping_leaves_the_rest() {
    let mut wrapping = machine(POWER9_256M);
    wrapping.reserved.push(GpaRange { start: Gpa(0x800_0000), len: u64::MAX - 0x800_0000 });
    // It reaches over the bridge's windows, too.
    wrapping.bridges.clear();
    let mut map = memory_map(&wrapping, &own(), true).unwrap();
    assert!(take(&mut map, Kind::Heap, HEAP).unwrap().end().0 <= 0x800_0000);
    assert_eq!(map.take_rest().unwrap().top(), Gpa(0x800_0000));
}

#[test]
fn a_quarantined_range_is_neither_taken_again_nor_mapped() {
    let mut map = map(&machine(POWER9_256M));
    let first = take(&mut map, Kind::Pool, POOL).unwrap();
    map.quarantine(first);
    assert_eq!(map.pool(), None);
    assert!(map.untouchable().any(|range| range == first));
    assert!(!take(&mut map, Kind::Pool, POOL).unwrap().overlaps(&first));
}

#[test]
fn an_overlap_is_named_with_both_ranges() {
    let hit = reserving(POWER9_256M, &[(0x41_2345, 8)]);
    let error = memory_map(&hit, &own(), true).unwrap_err();
    let said = "memory map: reservation at 0x410000+0x10000 overlaps image at 0x400000+0x240000";
    assert_eq!(error.to_string(), said);
    assert!(!error.is_shortage());
}

#[test]
fn ranges_are_rounded_out_to_whole_frames() {
    for start in (0..0x3_0000).step_by(0x1fff).chain([0, 0xffff, 0x1_0000]) {
        for len in [1, 2, 0xfffe, 0xffff, 0x1_0000, 0x1_0001, 0x2_0001] {
            let frames = (start / FRAME)..=((start + len - 1) / FRAME);
            let expected = range(frames.start() * FRAME, (frames.end() - frames.start() + 1) * FRAME);
            assert_eq!(whole_frames(range(start, len)), expected, "{start:#x}+{len:#x}");
        }
    }
    let last = whole_frames(GpaRange { start: Gpa(u64::MAX - 1), len: 1 });
    assert_eq!((last.start.0, last.end().0), (u64::MAX - 0xffff, u64::MAX));
}
