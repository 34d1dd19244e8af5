//! One test for each attack; and no mutant of a real tree makes the guard or the `fdt` crate panic.

use super::{HEADER_LEN, MAX_DEPTH, MAX_SIZE, Tree, claimed_size, copy_from, private_copy};
use crate::error::{Block, FdtError};
use postern_cases::case;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use std::string::ToString;
use std::vec;
use std::vec::Vec;
use testkit::trees::{Builder, POWER9_256M, REAL};

fn error(blob: &[u8]) -> FdtError {
    Tree::check(blob).unwrap_err()
}

/// A real tree with one word of its header replaced.
fn header(word: usize, value: u32) -> Vec<u8> {
    let mut blob = POWER9_256M.to_vec();
    blob[word * 4..word * 4 + 4].copy_from_slice(&value.to_be_bytes());
    blob
}

fn header_word(word: usize) -> u32 {
    u32::from_be_bytes(POWER9_256M[word * 4..word * 4 + 4].try_into().unwrap())
}

/// Reads everything that the crate can read by its generic calls.
fn read_all(tree: &Tree<'_>) -> usize {
    let mut seen = 0;
    for node in tree.fdt.all_nodes() {
        seen +=
            1 + node.properties().map(|property| property.name.len() + property.value.len()).sum::<usize>();
        seen += node.children().count();
    }
    seen + tree.fdt.memory_reservations().count()
}

#[test]
fn real_trees_pass() {
    for blob in REAL {
        let tree = Tree::check(blob).unwrap();
        assert_eq!(tree.size(), blob.len());
        assert!(read_all(&tree) > 10_000);
    }
}

#[test]
fn dt_01_bad_magic_and_versions() {
    case!("DT-01", Halt);
    assert_eq!(error(&header(0, 0xedfe_0dd0)), FdtError::Magic(0xedfe_0dd0));
    assert_eq!(error(&header(5, 16)), FdtError::Version { version: 16, compatible: 16 });
    assert_eq!(error(&header(6, 18)), FdtError::Version { version: 17, compatible: 18 });
    let mut newer = header(5, 18);
    newer[24..28].copy_from_slice(&17_u32.to_be_bytes());
    assert!(Tree::check(&newer).is_ok());
}

#[test]
fn dt_02_bad_totalsize() {
    case!("DT-02", Halt);
    for size in [0, 39, 0x20_0001, u32::MAX] {
        assert_eq!(error(&header(1, size)), FdtError::TotalSize(size));
        assert_eq!(claimed_size(&header(1, size)), Err(FdtError::TotalSize(size)));
    }
    let more = POWER9_256M.len() + 1;
    assert_eq!(error(&header(1, more as u32)), FdtError::Truncated { have: more - 1, need: more });
    for len in 0..HEADER_LEN {
        assert!(matches!(error(&POWER9_256M[..len]), FdtError::Truncated { .. }));
    }
}

#[test]
fn dt_03_blocks_outside_misaligned_or_overlapping() {
    case!("DT-03", Halt);
    let (structure, strings) = (header_word(2), header_word(3));
    assert!(matches!(error(&header(2, !3)), FdtError::Outside { block: Block::Structure, .. }));
    assert!(matches!(error(&header(9, u32::MAX)), FdtError::Outside { block: Block::Structure, .. }));
    assert!(matches!(error(&header(3, u32::MAX)), FdtError::Outside { block: Block::Strings, .. }));
    assert!(matches!(error(&header(8, u32::MAX)), FdtError::Outside { block: Block::Strings, .. }));
    assert!(matches!(error(&header(4, !7)), FdtError::Outside { block: Block::Reservations, .. }));
    assert_eq!(
        error(&header(2, structure + 2)),
        FdtError::Misaligned { block: Block::Structure, at: structure + 2 }
    );
    assert_eq!(error(&header(4, 44)), FdtError::Misaligned { block: Block::Reservations, at: 44 });
    assert_eq!(error(&header(3, strings - 1)), FdtError::Overlap(Block::Structure, Block::Strings));
    assert_eq!(error(&header(2, 32)), FdtError::Overlap(Block::Header, Block::Structure));
    assert!(matches!(error(&header(4, 0)), FdtError::Overlap(Block::Header, Block::Reservations)));
}

#[test]
fn dt_03_reservations_without_end() {
    case!("DT-03", Halt);
    let mut blob = Builder::new().node("").end().blob();
    blob[40..56].fill(1);
    let total = 56_u32;
    blob.truncate(56);
    blob[4..8].copy_from_slice(&total.to_be_bytes());
    for word in [2, 3] {
        blob[word * 4..word * 4 + 4].copy_from_slice(&total.to_be_bytes());
    }
    for word in [8, 9] {
        blob[word * 4..word * 4 + 4].fill(0);
    }
    assert_eq!(error(&blob), FdtError::ReservationsUnterminated);
}

#[test]
fn dt_04_property_longer_than_what_is_left() {
    case!("DT-04", Halt);
    for len in [12, 0x7fff_ffff, u32::MAX, u32::MAX - 3] {
        let blob = Builder::new().node("").word(3).word(len).word(0).end().blob();
        assert!(
            matches!(error(&blob), FdtError::PropertyLength { len: found, .. } if found == len),
            "{len:#x}"
        );
    }
}

#[test]
fn dt_05_property_name_past_the_strings_or_without_end() {
    case!("DT-05", Halt);
    let blob = Builder::new().node("").word(3).word(0).word(1000).end().blob();
    assert!(matches!(error(&blob), FdtError::NameOffset { offset: 1000, .. }));
    let mut blob = Builder::new().node("").prop("model", b"").end().blob();
    *blob.last_mut().unwrap() = b'x';
    assert!(matches!(error(&blob), FdtError::Name { .. }));
    let mut blob = Builder::new().node("").prop("model", b"").end().blob();
    let last = blob.len() - 2;
    blob[last] = 0xff;
    assert!(matches!(error(&blob), FdtError::Name { .. }));
    let long = "x".repeat(256);
    assert!(matches!(error(&Builder::new().node("").prop(&long, b"").end().blob()), FdtError::Name { .. }));
    assert!(Tree::check(&Builder::new().node("").prop(&long[..255], b"").end().blob()).is_ok());
    assert!(matches!(error(&Builder::new().node("").prop("", b"").end().blob()), FdtError::Name { .. }));
}

/// The tree's bytes, one after the other, as if read from memory.
fn reader(blob: &[u8]) -> impl FnMut(usize, &mut [u8]) {
    |at, out| out.iter_mut().zip(&blob[at.min(blob.len())..]).for_each(|(byte, from)| *byte = *from)
}

#[test]
fn dt_02_a_tree_with_free_space_is_copied_without_it() {
    case!("DT-02", Halt);
    let mut blob = POWER9_256M.to_vec();
    let used = private_copy(&blob).unwrap().len();
    blob.resize(MAX_SIZE, 0xee);
    blob[4..8].copy_from_slice(&(MAX_SIZE as u32).to_be_bytes());
    let mut longest = 0;
    let mut read = reader(&blob);
    let copy = copy_from(|at, out: &mut [u8]| {
        longest = longest.max(out.len());
        read(at, out);
    });
    assert_eq!(copy.unwrap().len(), used);
    assert_eq!(longest, used);
}

#[test]
fn dt_02_the_largest_tree_is_copied_and_a_larger_one_is_refused_before_the_copy() {
    case!("DT-02", Halt);
    let blob = |len| Builder::new().node("").prop("filler!", &std::vec![1; len]).end().blob();
    let rest = blob(4).len() - 4;
    let most = blob(MAX_SIZE - rest);
    let copy = copy_from(reader(&most)).unwrap();
    assert_eq!(copy.len(), MAX_SIZE);
    assert_eq!(read_all(&Tree::check(&copy).unwrap()), read_all(&Tree::check(&most).unwrap()));

    let more = blob(MAX_SIZE - rest + 4);
    let mut asked = 0;
    let mut read = reader(&more);
    let refused = copy_from(|at, out: &mut [u8]| {
        asked += out.len();
        read(at, out);
    });
    assert_eq!(refused, Err(FdtError::TotalSize(more.len() as u32)));
    assert_eq!(asked, HEADER_LEN);
}

#[test]
fn dt_07_a_header_that_changes_after_its_check_is_not_used() {
    case!("DT-07", Ignore);
    let mut reads = 0;
    let copy = copy_from(|at, out: &mut [u8]| {
        reads += usize::from(at == 0);
        reader(POWER9_256M)(at, out);
        if at == 0 && reads > 1 {
            out[..HEADER_LEN].fill(0xff);
        }
    });
    assert_eq!(copy, private_copy(POWER9_256M));
}

#[test]
fn dt_07_a_private_copy_holds_the_tree_without_its_free_space() {
    case!("DT-07", Ignore);
    let mut unpacked = POWER9_256M.to_vec();
    unpacked.resize(1 << 20, 0xaa);
    unpacked[4..8].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    assert_eq!(claimed_size(&unpacked[..HEADER_LEN]), Ok(1 << 20));
    let copy = private_copy(&unpacked).unwrap();
    assert!(copy.len() <= POWER9_256M.len());
    let (tree, original) = (Tree::check(&copy).unwrap(), Tree::check(POWER9_256M).unwrap());
    assert_eq!(read_all(&tree), read_all(&original));
    assert!(matches!(private_copy(&POWER9_256M[..5000]), Err(FdtError::Truncated { .. })));
}

#[test]
fn dt_08_cell_counts_are_one_word() {
    for name in ["#address-cells", "#size-cells"] {
        for value in [&[][..], &[0, 0], &[0; 8]] {
            let blob = Builder::new().node("").prop(name, value).end().blob();
            assert!(matches!(error(&blob), FdtError::Cells { .. }));
        }
    }
}

#[test]
fn tokens_out_of_place_are_refused() {
    let bad = [
        Builder::new(),
        Builder::new().end(),
        Builder::new().prop("model", b"x"),
        Builder::new().node(""),
        Builder::new().node("").node("a").end(),
        Builder::new().node("").end().end(),
        Builder::new().node("").end().node("").end(),
        Builder::new().node("").word(5).end(),
        Builder::new().node("").word(0).end(),
    ];
    for builder in bad {
        assert!(matches!(error(&builder.blob()), FdtError::Token { .. }));
    }
    let blob = Builder::new().node("").node("a").end().prop("late", b"").end().blob();
    assert!(matches!(error(&blob), FdtError::PropertyAfterChild { .. }));
    let siblings =
        Builder::new().node("").node("a").node("b").end().end().node("c").prop("p", b"").end().end();
    assert!(Tree::check(&siblings.blob()).is_ok());
}

#[test]
fn nops_are_refused_by_name() {
    let places = [
        Builder::new().word(4).node("").end(),
        Builder::new().node("").word(4).end(),
        Builder::new().node("").prop("a", b"").word(4).prop("b", b"").end(),
        Builder::new().node("").node("a").end().word(4).node("b").end().end(),
        Builder::new().node("").end().word(4),
    ];
    for builder in places {
        let found = error(&builder.blob());
        assert!(matches!(found, FdtError::Nop { .. }));
        assert!(found.to_string().contains("FDT_NOP"));
    }
}

#[test]
fn malformed_node_names_are_refused() {
    for name in ["", "a/b", &"n".repeat(256)] {
        let blob = Builder::new().node("").node(name).end().end().blob();
        assert!(matches!(error(&blob), FdtError::Name { .. }), "{name}");
    }
    assert!(matches!(error(&Builder::new().node("root").end().blob()), FdtError::Name { .. }));
}

#[test]
fn depth_is_bounded() {
    let deep = |levels: u32| {
        let opened = (1..levels).fold(Builder::new().node(""), |tree, _| tree.node("n"));
        (0..levels).fold(opened, |tree, _| tree.end()).blob()
    };
    let blob = deep(MAX_DEPTH);
    assert_eq!(Tree::check(&blob).unwrap().fdt.all_nodes().count(), MAX_DEPTH as usize);
    assert!(matches!(error(&deep(MAX_DEPTH + 1)), FdtError::TooDeep { .. }));
    assert!(matches!(error(&deep(20_000)), FdtError::TooDeep { .. }));
}

#[test]
fn nodes_are_bounded() {
    let wide = (0..8192).fold(Builder::new().node(""), |tree, _| tree.node("n").end());
    assert!(matches!(error(&wide.end().blob()), FdtError::TooMany { .. }));
}

/// A change to a blob: at a place, in permille of its length, a word.
fn mutation() -> impl Strategy<Value = (u16, u32)> {
    let word = prop_oneof![
        any::<u32>(),
        0_u32..16,
        Just(u32::MAX),
        Just(0x7fff_fffc),
        Just(0x8000_0000),
        (0_u32..0x4000).prop_map(|near| near & !3),
    ];
    (any::<u16>(), word)
}

fn mutate(blob: &mut [u8], (place, word): (u16, u32), aligned: bool) {
    let at = usize::from(place) * blob.len() / 0x1_0000;
    let at = if aligned { at & !3 } else { at };
    for (byte, new) in blob.iter_mut().skip(at).zip(word.to_be_bytes()) {
        *byte = new;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn mutants_of_real_trees_never_panic(
        which in 0..REAL.len(), aligned in any::<bool>(), changes in proptest::collection::vec(mutation(), 1..5)
    ) {
        let mut blob = REAL[which].to_vec();
        for change in changes {
            mutate(&mut blob, change, aligned);
        }
        let _ = private_copy(&blob).map(|copy| Tree::check(&copy).map(|tree| read_all(&tree)));
        let _ = Tree::check(&blob).map(|tree| read_all(&tree));
    }

    #[test]
    fn mutants_of_the_header_never_panic(word in 0_usize..10, value in mutation()) {
        let blob = header(word, value.1);
        let _ = private_copy(&blob).map(|copy| Tree::check(&copy).map(|tree| read_all(&tree)));
        let _ = Tree::check(&blob).map(|tree| read_all(&tree));
    }

    #[test]
    fn cut_trees_never_pass(len in 0..POWER9_256M.len()) {
        assert!(Tree::check(&POWER9_256M[..len]).is_err());
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut blob = vec![0xd0, 0x0d, 0xfe, 0xed];
        blob.extend(noise);
        let _ = Tree::check(&blob);
    }
}
