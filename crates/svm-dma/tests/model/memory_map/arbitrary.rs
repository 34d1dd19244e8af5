//! Arbitrary machines. Each map is checked frame by frame, with arithmetic of its own.

use super::{FRAME, HIGH_END, machine};
use papr::addr::{Gpa, GpaRange};
use postern_cases::case;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use pseries_tree::machine::Machine;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::vec::Vec;
use svm_dma::memory_map::{Kind, MapError, MemoryMap, Own};
use testkit::trees::POWER9_TWO_PHBS;
use testkit::unchecked::memory_map;

/// Small machines, so that ranges meet: 256 frames.
const SPACE: u64 = 256 * FRAME;

/// A real machine, read once.
fn real() -> Machine {
    static REAL: OnceLock<Machine> = OnceLock::new();
    REAL.get_or_init(|| machine(POWER9_TWO_PHBS)).clone()
}

/// Addresses near frames' edges, and some that wrap.
fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..256_u64, -2..3_i64).prop_map(|(frame, off)| (frame * FRAME).saturating_add_signed(off)),
        4 => (0..256_u64).prop_map(|frame| frame * FRAME),
        2 => 0..SPACE,
        1 => Just(u64::MAX - 5),
    ]
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (1..24_u64).prop_map(|frames| frames * FRAME),
        3 => 1..3 * FRAME,
        1 => Just(1_u64),
        1 => Just(0_u64),
        1 => Just(u64::MAX),
    ]
}

fn any_range() -> impl Strategy<Value = GpaRange> {
    (address(), length())
        .prop_map(|(start, len)| GpaRange { start: Gpa(start), len: len.min(u64::MAX - start) })
}

fn regions() -> impl Strategy<Value = Vec<GpaRange>> {
    proptest::collection::vec((0..40_u64, 1..120_u64), 1..4).prop_map(|list| {
        let mut at = 0;
        let mut regions = Vec::new();
        for (index, (gap, frames)) in list.into_iter().enumerate() {
            at += if index == 0 { 0 } else { gap + 1 };
            regions.push(GpaRange { start: Gpa(at * FRAME), len: frames * FRAME });
            at += frames;
        }
        regions
    })
}

fn frames(range: &GpaRange) -> impl Iterator<Item = u64> {
    let (start, end) = (u128::from(range.start.0), u128::from(range.start.0) + u128::from(range.len));
    let (first, last) = (start / u128::from(FRAME), end.div_ceil(u128::from(FRAME)));
    let last = if range.len == 0 { first } else { last };
    // Beyond the machine nothing can be taken.
    (first..last.min(512).max(first)).map(|frame| frame as u64)
}

/// Everything that the machine's description says is in use, without what may lie over the image.
fn described(machine: &Machine, own: &Own, secure: bool) -> Vec<GpaRange> {
    let exact = |range: &GpaRange| {
        range.start == own.image.start
            && if secure { range.len == own.image.len } else { range.end() <= own.image.end() }
    };
    let mut all: Vec<GpaRange> = machine.reserved.iter().copied().filter(|range| !exact(range)).collect();
    all.extend(machine.initrd);
    all.extend(machine.rtas.range);
    let inside = own.tree_buffer.start <= own.tree.start && own.tree.end() <= own.tree_buffer.end();
    all.extend((!inside).then_some(own.tree));
    all.retain(|range| range.len > 0);
    all
}

fn check(machine: &Machine, own: &Own, secure: bool, pool: u64, heap: u64) -> Result<(), TestCaseError> {
    check_map(memory_map(machine, own, secure), machine, own, secure, [pool, heap])
}

/// Checks a map against the machine's description.
fn check_map(
    map: Result<MemoryMap, MapError>,
    machine: &Machine,
    own: &Own,
    secure: bool,
    [pool, heap]: [u64; 2],
) -> Result<(), TestCaseError> {
    let mut map = match map {
        Ok(map) => map,
        Err(error) => {
            prop_assert!(!error.is_shortage());
            return Ok(());
        }
    };
    let mut owner: BTreeMap<u64, &str> = BTreeMap::new();
    owner.insert(0, "first frame");
    for frame in frames(&own.image) {
        prop_assert_eq!(owner.insert(frame, "image"), None);
    }
    for range in described(machine, own, secure) {
        for frame in frames(&range) {
            let before = owner.insert(frame, "described");
            prop_assert!(matches!(before, None | Some("described")), "{frame:#x} was {before:?}");
        }
    }
    let windows = machine.bridges.iter().flat_map(|bridge| &bridge.windows);
    for window in windows.map(|window| GpaRange { start: window.gpa, len: window.len }) {
        prop_assert!(!machine.memory.iter().any(|ram| ram.overlaps(&window)));
        for frame in frames(&window) {
            let before = owner.insert(frame, "window");
            prop_assert!(matches!(before, None | Some("window")), "{frame:#x} was {before:?}");
        }
    }
    let mut take = |range: GpaRange, who| {
        prop_assert!(range.start.0.is_multiple_of(FRAME) && range.len.is_multiple_of(FRAME));
        prop_assert!(machine.memory.iter().any(|ram| ram.contains(range.start, range.len)));
        for frame in frames(&range) {
            prop_assert_eq!(owner.insert(frame, who), None, "{:#x}", frame);
        }
        Ok(())
    };
    for (kind, len, who) in [(Kind::Pool, pool, "pool"), (Kind::Heap, heap, "heap")] {
        match map.take(kind, len) {
            Ok(frames) => {
                let range = frames.range();
                prop_assert!(range.len >= len && range.end().0 <= HIGH_END);
                take(range, who)?;
            }
            Err(error) => prop_assert!(error.is_shortage(), "{error}"),
        }
    }
    let mut rest = match map.take_rest() {
        Ok(rest) => rest,
        Err(error) => return Err(TestCaseError::fail(std::format!("{error}"))),
    };
    while let Some(frames) = rest.take(1, 3 * FRAME) {
        take(frames.range(), "grown heap")?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn mem_06_all_owners_are_disjoint_or_there_is_no_map(
        memory in regions(),
        reserved in proptest::collection::vec(any_range(), 0..12),
        rtas in proptest::option::of(any_range()),
        initrd in proptest::option::of(any_range()),
        tree in any_range(),
        image in (0..200_u64, 2..24_u64),
        note in proptest::option::of(0..3_u64),
        buffer in (0..24_u64, 1..4_u64),
        windows in proptest::collection::vec(any_range(), 0..3),
        pool in 1..40 * FRAME,
        heap in 1..40 * FRAME,
        secure in any::<bool>(),
    ) {
        case!("MEM-06", Halt);
        case!("UV-19", Refuse);
        case!("UV-10", Refuse);
        let mut machine = real();
        machine.memory = memory;
        machine.reserved = reserved;
        machine.rtas.range = rtas.filter(|range| range.len > 0);
        machine.initrd = initrd.filter(|range| range.len > 0);
        for (index, bridge) in machine.bridges.iter_mut().enumerate() {
            bridge.windows.truncate(1);
            match windows.get(index) {
                Some(range) => (bridge.windows[0].gpa, bridge.windows[0].len) = (range.start, range.len),
                None => bridge.windows.clear(),
            }
        }
        let image = GpaRange { start: Gpa(image.0 * FRAME), len: image.1 * FRAME };
        let buffer = GpaRange { start: Gpa(image.start.0 + buffer.0 * FRAME), len: buffer.1 * FRAME };
        let tree_buffer = if image.contains(buffer.start, buffer.len) { buffer } else { GpaRange { len: 0, ..image } };
        if let Some(less) = note {
            machine.reserved.push(GpaRange { start: image.start, len: image.len - less });
        }
        check(&machine, &Own { image, tree_buffer, tree }, secure, pool, heap)?;
    }

    /// Most arbitrary machines are refused. A machine near a real one has a map.
    #[test]
    fn mem_06_a_machine_with_few_reservations_has_a_map(
        reserved in proptest::collection::vec((40..256_u64, 1..2 * FRAME), 0..6),
        pool in 1..40 * FRAME,
        secure in any::<bool>(),
    ) {
        let mut machine = real();
        machine.memory = [GpaRange { start: Gpa(0), len: SPACE }].to_vec();
        machine.reserved = reserved.into_iter().map(|(at, len)| GpaRange { start: Gpa(at * FRAME), len }).collect();
        machine.initrd = None;
        machine.rtas.range = None;
        let image = GpaRange { start: Gpa(4 * FRAME), len: 30 * FRAME };
        let tree_buffer = GpaRange { start: Gpa(10 * FRAME), len: FRAME };
        let own = Own { image, tree_buffer, tree: tree_buffer };
        let map = memory_map(&machine, &own, secure);
        prop_assert!(map.is_ok(), "{:?}", map);
        check(&machine, &own, secure, pool, FRAME)?;
    }
}

/// The check above can fail: it finds a map that was made without one owner.
#[test]
fn mem_06_a_map_that_does_not_know_an_owner_is_found() {
    let range = |at: u64| GpaRange { start: Gpa(at * FRAME + 5), len: 2 * FRAME };
    let mut machine = real();
    machine.memory = [GpaRange { start: Gpa(0), len: SPACE }].to_vec();
    machine.reserved = [range(60)].to_vec();
    machine.initrd = Some(range(80));
    machine.rtas.range = Some(range(100));
    let image = GpaRange { start: Gpa(4 * FRAME), len: 30 * FRAME };
    let tree_buffer = GpaRange { start: Gpa(10 * FRAME), len: FRAME };
    let own = Own { image, tree_buffer, tree: range(120) };
    let judge = |told: &Machine, own_told: &Own| {
        check_map(memory_map(told, own_told, true), &machine, &own, true, [8 * FRAME, FRAME])
    };
    judge(&machine, &own).expect("a map that knows all");
    let without = |forget: fn(&mut Machine)| {
        let mut told = machine.clone();
        forget(&mut told);
        judge(&told, &own)
    };
    without(|told| told.reserved.clear()).expect_err("a reservation");
    without(|told| told.initrd = None).expect_err("the initrd");
    without(|told| told.rtas.range = None).expect_err("RTAS");
    judge(&machine, &Own { image, tree_buffer, tree: tree_buffer }).expect_err("the tree");
    let smaller = GpaRange { len: 29 * FRAME, ..image };
    judge(&machine, &Own { image: smaller, tree_buffer, tree: range(120) }).expect_err("the image");
}

#[test]
fn windows_that_wrap_are_refused() {
    let mut machine = machine(POWER9_TWO_PHBS);
    machine.bridges[0].windows[0].gpa = Gpa(u64::MAX - 5);
    let own = super::own();
    assert!(matches!(memory_map(&machine, &own, false), Err(MapError::Wraps(_))));
}
