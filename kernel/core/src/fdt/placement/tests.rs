//! What is placed is free memory, whatever the tree reserves.

use super::{HIGH_END, LOW_END, Piece, Placement, PlacementError, Wanted, left, place};
use crate::addr::{Gpa, GpaRange};
use crate::fdt::fixtures::{
    Builder, POWER9_1G_NUMA, POWER9_64G, POWER9_256M, POWER9_512M_INITRD, POWER10_4G_SMP2,
};
use crate::fdt::guard::Tree;
use crate::fdt::machine::Machine;
use postern_cases::case;
use proptest::prelude::{any, prop_assert, proptest};
use std::vec::Vec;

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

fn wanted() -> Wanted {
    Wanted {
        image: range(0x40_0000, 0x23_4567),
        tree: range(0x0fe0_0000, 0x4000),
        heap: 32 << 20,
        pool: Some(8 << 20),
    }
}

fn clear(machine: &Machine, wanted: &Wanted, found: &Placement) -> bool {
    let placed: Vec<GpaRange> = [Some(found.heap), found.pool].into_iter().flatten().collect();
    let taken: Vec<GpaRange> = machine.taken().chain([wanted.image, wanted.tree]).collect();
    placed.iter().enumerate().all(|(index, one)| {
        one.start.0.is_multiple_of(0x1_0000)
            && one.len.is_multiple_of(0x1_0000)
            && one.start.0 >= LOW_END
            && one.end().0 <= HIGH_END
            && machine.memory.iter().any(|region| region.contains(one.start, one.len))
            && !taken.iter().any(|range| range.overlaps(one))
            && !placed.iter().skip(index + 1).any(|other| other.overlaps(one))
    })
}

#[test]
fn the_lowest_free_memory_is_used_after_the_image() {
    let found = place(&machine(POWER9_256M), &wanted()).unwrap();
    assert_eq!(found.pool, Some(range(0x64_0000, 8 << 20)));
    assert_eq!(found.heap, range(0xe4_0000, 32 << 20));
}

#[test]
fn small_pieces_fit_below_the_image_but_never_over_the_vectors() {
    let mut wanted = wanted();
    wanted.pool = Some(0x1_0000);
    let found = place(&machine(POWER9_256M), &wanted).unwrap();
    assert_eq!(found.pool, Some(range(LOW_END, 0x1_0000)));
}

#[test]
fn what_is_left_is_all_memory_but_what_is_used() {
    for blob in [POWER9_1G_NUMA, POWER9_64G, POWER9_256M, POWER9_512M_INITRD, POWER10_4G_SMP2] {
        let machine = machine(blob);
        let placement = place(&machine, &wanted()).unwrap();
        let mut frames = left(&machine, &wanted(), &placement);
        assert_eq!(frames.top().0, machine.memory.iter().map(|region| region.end().0).max().unwrap());
        let used = [Some(wanted().image), Some(wanted().tree), Some(placement.heap), placement.pool];
        let taken: Vec<GpaRange> = machine.taken().chain(used.into_iter().flatten()).collect();
        // What is lost is rounding, and the first frame.
        let used: u64 = taken.iter().map(|range| range.len.next_multiple_of(0x1_0000) + 0x1_0000).sum();
        assert!(frames.bytes() + used + 0x1_0000 >= machine.memory_bytes());
        while let Some(range) = frames.take(1, 1 << 30) {
            assert!(machine.memory.iter().any(|region| region.contains(range.start, range.len)));
            assert!(!taken.iter().any(|taken| taken.overlaps(&range)), "{range:x?}");
        }
    }
}

#[test]
fn normal_mode_has_no_pool() {
    let mut wanted = wanted();
    wanted.pool = None;
    assert_eq!(place(&machine(POWER9_256M), &wanted).unwrap().pool, None);
}

#[test]
fn every_real_machine_has_room() {
    for blob in [POWER9_256M, POWER9_512M_INITRD, POWER9_1G_NUMA, POWER9_64G, POWER10_4G_SMP2] {
        let machine = machine(blob);
        let wanted = wanted();
        assert!(clear(&machine, &wanted, &place(&machine, &wanted).unwrap()));
    }
}

#[test]
fn reservations_of_the_ultravisor_are_honoured() {
    // Ten frames from the top of 256 MiB, where the firmware's tree lies as well.
    let ten: Vec<(u64, u64)> = (1..=10).map(|n| (0x1000_0000 - n * 0x1_0000, 0x1_0000)).collect();
    let machine = reserving(POWER9_256M, &ten);
    let mut wanted = wanted();
    wanted.heap = 0x0fe0_0000 - 0xe4_0000;
    let found = place(&machine, &wanted).unwrap();
    assert!(clear(&machine, &wanted, &found));
    assert_eq!(found.heap.end(), Gpa(0x0fe0_0000));
    wanted.heap += 1;
    assert_eq!(
        place(&machine, &wanted),
        Err(PlacementError::NoRoom {
            piece: Piece::Heap,
            len: wanted.heap,
            longest: 0x0fe0_0000 - 0xe4_0000
        })
    );
}

#[test]
fn dt_09_an_image_outside_one_region_is_refused() {
    case!("DT-09", Halt);
    let mut gap = machine(POWER9_256M);
    gap.memory = [range(0, 0x50_0000), range(0x51_0000, 0x1000_0000)].to_vec();
    let mut wanted = wanted();
    assert_eq!(place(&gap, &wanted), Err(PlacementError::ImageOutsideMemory(wanted.image)));
    wanted.image = range(0x0fff_0000, 0x2_0000);
    assert_eq!(place(&machine(POWER9_256M), &wanted), Err(PlacementError::ImageOutsideMemory(wanted.image)));
}

#[test]
fn dt_17_a_reservation_over_the_pool_moves_it_and_one_over_everything_stops_the_boot() {
    case!("DT-17", Fallback);
    case!("DT-17", Halt);
    let found = place(&reserving(POWER9_256M, &[(0x64_8000, 1)]), &wanted()).unwrap();
    assert_eq!(found.pool, Some(range(0x65_0000, 8 << 20)));
    let all = reserving(POWER9_256M, &[(0, 0x1000_0000)]);
    assert_eq!(
        place(&all, &wanted()),
        Err(PlacementError::NoRoom { piece: Piece::Pool, len: 8 << 20, longest: 0 })
    );
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    case!("UV-09", Refuse);
    let machine = machine(POWER9_256M);
    for len in [0, u64::MAX, u64::MAX - 0xffff] {
        let wanted = Wanted { pool: Some(len), ..wanted() };
        let error = place(&machine, &wanted).unwrap_err();
        let size = PlacementError::Size { piece: Piece::Pool, len };
        assert!(error == size || matches!(error, PlacementError::NoRoom { .. }), "{error}");
    }
    assert_eq!(
        place(&machine, &Wanted { heap: 0, ..wanted() }),
        Err(PlacementError::Size { piece: Piece::Heap, len: 0 })
    );
}

#[test]
fn a_tree_that_reserves_the_end_of_memory_by_wrapping_leaves_the_rest() {
    let blob = Builder::edited(POWER9_256M, |_, _, value| Some(value.to_vec()));
    let mut machine = machine(&blob);
    machine.reserved.push(GpaRange { start: Gpa(0x800_0000), len: u64::MAX - 0x800_0000 });
    let found = place(&machine, &wanted()).unwrap();
    assert!(clear(&machine, &wanted(), &found));
}

proptest! {
    #[test]
    fn whatever_is_reserved_what_is_placed_is_free(
        reserved in proptest::collection::vec((0_u64..0x1000_0000, 0_u64..0x80_0000), 0..30),
        image in 0_u64..0xf00_0000,
        heap in 1_u64..0x200_0000,
        pool in 1_u64..0x100_0000,
        with_pool in any::<bool>(),
    ) {
        case!("UV-19", Refuse);
        case!("UV-10", Refuse);
        let machine = reserving(POWER9_256M, &reserved);
        let wanted = Wanted { image: range(image, 0x10_0000), tree: range(0x0fe0_0000, 0x4000), heap, pool: with_pool.then_some(pool) };
        if let Ok(found) = place(&machine, &wanted) {
            prop_assert!(clear(&machine, &wanted, &found));
            prop_assert!(found.heap.len >= heap && found.pool.is_none_or(|found| found.len >= pool));
        }
    }
}
