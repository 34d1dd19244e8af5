//! A radix tree of 64 KiB, 2 MiB and 1 GiB pages, with levels of 13, 9, 9 and 5 bits.

use super::entry::{Entry, Kind, PAGE_ADDRESS, TABLE_ADDRESS};
use papr::addr::{FRAME_SIZE, Gpa, GpaRange};
use papr::parts;
use thiserror::Error;

/// Log2 of the entries at each level, root first.
const LEVELS: [u32; 4] = [13, 9, 9, 5];
/// Log2 of the bytes that one entry covers at each level.
const SHIFTS: [u32; 4] = [39, 30, 21, 16];

/// The memory that tables are made of.
pub trait Tables {
    /// A zeroed table of 2^`entries_log2` doublewords, aligned to its size; `None` when memory is out.
    fn allocate(&mut self, entries_log2: u32) -> Option<Gpa>;
    /// The entry at `index`, as a number.
    fn load(&self, table: Gpa, index: usize) -> u64;
    /// Writes the entry at `index`; in memory it is big-endian.
    fn store(&mut self, table: Gpa, index: usize, entry: u64);
}

/// Why a range cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MapError {
    /// A range that is not whole 64 KiB frames, is empty, or goes beyond 52 bits.
    #[error("{:#x}+{:#x} is not a range of 64 KiB frames", .0.start.0, .0.len)]
    BadRange(GpaRange),
    /// The address has a mapping already.
    #[error("{:#x} is mapped already", .0.0)]
    AlreadyMapped(Gpa),
    /// No memory for a table of 2^n entries.
    #[error("no memory for a table of 2^{0} entries")]
    NoMemory(u32),
}

/// One run of equal mappings, as found in the finished tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Effective addresses, equal to the real addresses they map.
    pub range: GpaRange,
    /// Loads are allowed.
    pub read: bool,
    /// Stores are allowed.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub execute: bool,
    /// Registers of a device: caching is inhibited.
    pub device: bool,
    /// Memory of the shared pool.
    pub shared: bool,
}

/// A tree that maps each mapped address to itself.
#[derive(Debug)]
pub struct Tree<T> {
    tables: T,
    root: Gpa,
}

impl<T: Tables> Tree<T> {
    /// Log2 of the entries in the root table, for the process table.
    pub const ROOT_ENTRIES_LOG2: u32 = 13;

    /// An empty tree.
    ///
    /// # Errors
    /// No memory for the root table.
    pub fn new(mut tables: T) -> Result<Self, MapError> {
        let log2 = Self::ROOT_ENTRIES_LOG2;
        let root = tables.allocate(log2).ok_or(MapError::NoMemory(log2))?;
        Ok(Self { tables, root })
    }

    /// The guest physical address of the root table.
    pub const fn root(&self) -> Gpa {
        self.root
    }

    /// Maps `range` to itself, in the largest pages that fit.
    ///
    /// # Errors
    /// The range is not of whole frames, part of it is mapped already, or there is no memory for a table. Pages that
    /// were mapped before the error stay mapped.
    pub fn map(&mut self, range: GpaRange, kind: Kind) -> Result<(), MapError> {
        let frame = FRAME_SIZE as u64;
        let whole = range.start.0.is_multiple_of(frame) && range.len.is_multiple_of(frame);
        if !whole || range.len == 0 || range.end().0 > 1 << 52 {
            return Err(MapError::BadRange(range));
        }
        let mut at = range.start.0;
        while at < range.end().0 {
            let left = range.end().0.saturating_sub(at);
            let fits = |shift: u32| at.is_multiple_of(1 << shift) && left >= 1 << shift;
            let level = (1..LEVELS.len()).find(|&level| SHIFTS.get(level).is_some_and(|&s| fits(s)));
            let level = level.unwrap_or(LEVELS.len().saturating_sub(1));
            self.map_page(at, level, kind)?;
            at = at.saturating_add(1 << SHIFTS.get(level).copied().unwrap_or(16));
        }
        Ok(())
    }

    fn map_page(&mut self, at: u64, leaf_level: usize, kind: Kind) -> Result<(), MapError> {
        let mut table = self.root;
        for (level, (&bits, &shift)) in LEVELS.iter().zip(&SHIFTS).enumerate() {
            let index = index(at, bits, shift);
            let entry = self.tables.load(table, index);
            let valid = entry & Entry::VALID.bits() != 0;
            if level == leaf_level {
                if valid {
                    return Err(MapError::AlreadyMapped(Gpa(at)));
                }
                self.tables.store(table, index, kind.bits().bits() | (at & PAGE_ADDRESS));
                return Ok(());
            }
            if entry & Entry::LEAF.bits() != 0 {
                return Err(MapError::AlreadyMapped(Gpa(at)));
            }
            table = if valid {
                Gpa(entry & TABLE_ADDRESS)
            } else {
                let below = LEVELS.get(level.saturating_add(1)).copied().unwrap_or(5);
                let new = self.tables.allocate(below).ok_or(MapError::NoMemory(below))?;
                self.tables.store(table, index, Entry::VALID.bits() | new.0 | u64::from(below));
                new
            };
        }
        Ok(())
    }

    /// Calls `found` with each run of equal mappings, in order of address.
    pub fn walk(&self, found: &mut impl FnMut(Mapped)) {
        let mut run: Option<Mapped> = None;
        self.walk_table(self.root, 0, 0, &mut |page: Mapped| match &mut run {
            Some(last) if last.range.end() == page.range.start && same_rights(last, &page) => {
                last.range.len = last.range.len.saturating_add(page.range.len);
            }
            _ => {
                if let Some(done) = run.replace(page) {
                    found(done);
                }
            }
        });
        if let Some(last) = run {
            found(last);
        }
    }

    /// Recursion is as deep as the tree: four levels.
    fn walk_table(&self, table: Gpa, level: usize, base: u64, found: &mut impl FnMut(Mapped)) {
        let (Some(&bits), Some(&shift)) = (LEVELS.get(level), SHIFTS.get(level)) else { return };
        for index in 0..1usize << bits {
            let word = self.tables.load(table, index);
            let entry = Entry::from_bits_retain(word);
            let at = base | (index as u64) << shift;
            if !entry.contains(Entry::VALID) {
                continue;
            }
            if !entry.contains(Entry::LEAF) {
                self.walk_below(Gpa(word & TABLE_ADDRESS), level.saturating_add(1), at, found);
                continue;
            }
            found(Mapped {
                range: GpaRange { start: Gpa(at), len: 1 << shift },
                read: entry.contains(Entry::READ),
                write: entry.contains(Entry::WRITE),
                execute: entry.contains(Entry::EXECUTE),
                device: entry.contains(Entry::NON_IDEMPOTENT),
                shared: entry.contains(Entry::SHARED),
            });
        }
    }

    fn walk_below(&self, table: Gpa, level: usize, base: u64, found: &mut dyn FnMut(Mapped)) {
        self.walk_table(table, level, base, &mut |page| found(page));
    }
}

fn same_rights(a: &Mapped, b: &Mapped) -> bool {
    (a.read, a.write, a.execute, a.device, a.shared) == (b.read, b.write, b.execute, b.device, b.shared)
}

fn index(at: u64, bits: u32, shift: u32) -> usize {
    let mask = (1u64 << bits).wrapping_sub(1);
    parts::index((at >> shift) & mask)
}

#[cfg(test)]
mod tests {
    use super::{Kind, MapError, Mapped, Tables, Tree};
    use papr::addr::{Gpa, GpaRange};
    use proptest::prelude::{Strategy, prop_assert_eq, proptest};
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[derive(Debug, Default)]
    struct Model {
        words: BTreeMap<u64, u64>,
        next: u64,
    }

    impl Tables for Model {
        fn allocate(&mut self, entries_log2: u32) -> Option<Gpa> {
            let size = 8u64 << entries_log2;
            let at = (self.next + 0x10_0000).next_multiple_of(size);
            self.next = at + size - 0x10_0000;
            Some(Gpa(at))
        }

        fn load(&self, table: Gpa, index: usize) -> u64 {
            self.words.get(&(table.0 + index as u64 * 8)).copied().unwrap_or(0)
        }

        fn store(&mut self, table: Gpa, index: usize, entry: u64) {
            self.words.insert(table.0 + index as u64 * 8, entry);
        }
    }

    /// Translates as the architecture says, from the words alone.
    fn translate(tree: &Tree<Model>, ea: u64) -> Option<(u64, u64)> {
        let (mut table, mut bits_left, mut size_log2) = (tree.root().0, 52u32, 13u32);
        loop {
            bits_left -= size_log2;
            let index = (ea >> bits_left) & ((1 << size_log2) - 1);
            let word = tree.tables.words.get(&(table + index * 8)).copied().unwrap_or(0);
            if word >> 63 == 0 {
                return None;
            }
            if word >> 62 & 1 == 1 {
                let offset = ea & ((1 << bits_left) - 1);
                return Some(((word & 0x01ff_ffff_ffff_f000) | offset, word & 0x23f));
            }
            size_log2 = (word & 0x1f) as u32;
            table = word & 0x0fff_ffff_ffff_ff00;
        }
    }

    fn range(start: u64, len: u64) -> GpaRange {
        GpaRange { start: Gpa(start), len }
    }

    #[test]
    fn every_kind_allows_what_it_says_and_never_write_with_execute() {
        let kinds = [
            (Kind::Text, 0x8 | 0x4 | 0x1),
            (Kind::ReadOnly, 0x8 | 0x4),
            (Kind::Data, 0x8 | 0x4 | 0x2),
            (Kind::Pool, 0x200 | 0x8 | 0x4 | 0x2),
            (Kind::Device, 0x20 | 0x8 | 0x4 | 0x2),
        ];
        for (index, (kind, bits)) in kinds.into_iter().enumerate() {
            let mut tree = Tree::new(Model::default()).unwrap();
            let at = 0x40_0000 + index as u64 * 0x10_0000;
            tree.map(range(at, 0x10000), kind).unwrap();
            assert_eq!(translate(&tree, at + 0x123), Some((at + 0x123, bits)), "{kind:?}");
            assert_ne!(bits & 0x3, 0x3);
        }
    }

    #[test]
    fn what_is_not_mapped_does_not_translate() {
        let mut tree = Tree::new(Model::default()).unwrap();
        tree.map(range(0x10000, 0x20000), Kind::Data).unwrap();
        for (ea, mapped) in [(0, false), (0xffff, false), (0x10000, true), (0x2ffff, true), (0x30000, false)]
        {
            assert_eq!(translate(&tree, ea).is_some(), mapped, "{ea:#x}");
        }
    }

    #[test]
    fn large_ranges_use_large_pages() {
        let mut tree = Tree::new(Model::default()).unwrap();
        tree.map(range(0x10000, (64 << 30) - 0x10000), Kind::Data).unwrap();
        assert!(tree.tables.words.len() < 1300, "{} words", tree.tables.words.len());
        assert_eq!(translate(&tree, (64 << 30) - 1).map(|(ra, _)| ra), Some((64 << 30) - 1));
    }

    #[test]
    fn a_second_mapping_of_an_address_is_refused() {
        let mut tree = Tree::new(Model::default()).unwrap();
        tree.map(range(0x20_0000, 0x20_0000), Kind::Data).unwrap();
        assert_eq!(
            tree.map(range(0x21_0000, 0x10000), Kind::Text),
            Err(MapError::AlreadyMapped(Gpa(0x21_0000)))
        );
    }

    #[test]
    fn a_range_that_is_not_of_whole_frames_is_refused() {
        let mut tree = Tree::new(Model::default()).unwrap();
        for bad in
            [range(0x1000, 0x10000), range(0x10000, 0x1000), range(0x10000, 0), range(1 << 52, 0x10000)]
        {
            assert_eq!(tree.map(bad, Kind::Data), Err(MapError::BadRange(bad)));
        }
    }

    proptest! {
        #[test]
        fn the_walk_reports_exactly_what_was_mapped(
            pieces in proptest::collection::vec((0u64..200, 1u64..90, 0usize..5), 1..12)
                .prop_map(|pieces| {
                    let mut at = 1;
                    pieces.into_iter().map(|(gap, len, kind)| {
                        let start = at + gap;
                        at = start + len;
                        (start, len, [Kind::Text, Kind::ReadOnly, Kind::Data, Kind::Pool, Kind::Device][kind])
                    }).collect::<Vec<_>>()
                })
        ) {
            let mut tree = Tree::new(Model::default()).unwrap();
            for &(start, len, kind) in &pieces {
                tree.map(range(start << 16, len << 16), kind).unwrap();
            }
            let mut runs: Vec<Mapped> = Vec::new();
            tree.walk(&mut |run| runs.push(run));
            let right = |frame: u64| pieces.iter().find(|(s, l, _)| (*s..s + l).contains(&frame)).map(|p| p.2);
            for frame in 0..4000u64 {
                let run = runs.iter().find(|run| run.range.contains(Gpa(frame << 16), 1 << 16));
                let found = run.map(|run| (run.read, run.write, run.execute, run.device, run.shared));
                let expected = right(frame).map(|kind| (
                    true,
                    matches!(kind, Kind::Data | Kind::Pool | Kind::Device),
                    kind == Kind::Text,
                    kind == Kind::Device,
                    kind == Kind::Pool,
                ));
                prop_assert_eq!(found, expected, "frame {}", frame);
            }
        }
    }
}
