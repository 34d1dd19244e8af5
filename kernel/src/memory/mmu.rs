//! Turns radix translation on. Every address maps to itself, with the rights that its use needs and no more.
//!
//! Interrupts are taken with translation off (AIL 0), so the vectors and address 0 are not mapped. Device registers are
//! accessed by hcalls and are not mapped either.

use crate::memory::layout;
use crate::platform::lock;
use crate::platform::pseries::Pseries;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use papr::addr::{FRAME_SIZE, Gpa, GpaRange};
use papr::hcall::{HcallError, calls};
use papr::lock::Lock;
use papr::parts;
use postern_core::radix::{Kind, MapError, Mapped, Tables, Tree, process_table_entry};
use svm_dma::memory_map::MemoryMap;
use thiserror::Error;

/// Bytes for tables: 64 KiB for the root, the process table, and 4 KiB or 256 bytes for each other table. The image needs
/// many small pages; RAM takes pages of 1 GiB and 2 MiB.
const ARENA_SIZE: usize = 4 * FRAME_SIZE;
/// Bytes of an entry of a table.
const ENTRY_BYTES: usize = 8;

#[repr(C, align(65536))]
struct Arena([u8; ARENA_SIZE]);

static mut ARENA: Arena = Arena([0; ARENA_SIZE]);

/// Allocates tables from the arena, one after another.
#[derive(Debug)]
struct ArenaTables {
    used: usize,
}

/// A pointer to an entry of a table in the arena. Panics for any other table: that would be a mistake of this kernel.
fn entry(table: Gpa, index: usize) -> *mut u64 {
    let arena = (&raw mut ARENA).cast::<u64>();
    let offset = parts::index(table.0).wrapping_sub(arena.expose_provenance());
    let number = (offset / ENTRY_BYTES).wrapping_add(index);
    assert!(offset.is_multiple_of(ENTRY_BYTES) && number < ARENA_SIZE / ENTRY_BYTES, "an entry of the arena");
    arena.wrapping_add(number)
}

impl Tables for ArenaTables {
    fn allocate(&mut self, entries_log2: u32) -> Option<Gpa> {
        let size = 8usize << entries_log2;
        let start = self.used.next_multiple_of(size);
        let end = start.checked_add(size).filter(|end| *end <= ARENA_SIZE)?;
        self.used = end;
        Some(Gpa((&raw const ARENA as usize).checked_add(start)? as u64))
    }

    fn load(&self, table: Gpa, index: usize) -> u64 {
        // SAFETY: `entry` is an aligned doubleword of the arena, to which there are no references. Volatile, since the MMU
        // reads the words behind the compiler's back.
        u64::from_be(unsafe { entry(table, index).read_volatile() })
    }

    fn store(&mut self, table: Gpa, index: usize, value: u64) {
        // SAFETY: as in `load`. The MMU reads a doubleword as a whole.
        unsafe { entry(table, index).write_volatile(value.to_be()) };
    }
}

/// Translation that cannot be turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MmuError {
    /// The map cannot be made.
    #[error("memory map: {0}")]
    Map(#[from] MapError),
    /// H_REGISTER_PROC_TBL was refused.
    #[error("H_REGISTER_PROC_TBL: {0}")]
    Register(HcallError),
    /// The tables are in use already.
    #[error("memory map: translation was turned on before")]
    Twice,
}

static TREE: Lock<Option<Tree<ArenaTables>>> = Lock::new("translation tables", None);

/// Base-2 logarithm of the process table's bytes: the smallest size, 4 KiB.
const PROCESS_TABLE_LOG2: u32 = 12;

/// Maps the kernel's memory and turns translation on. The image is mapped by section, the pool as a kind of its own, other
/// memory as data. Not mapped are the guard frames under the stacks, the first frame of memory and memory of other owners.
///
/// # Errors
/// The map cannot be made, or the hypervisor refuses the table; translation stays off.
pub fn enable(map: &MemoryMap) -> Result<(), MmuError> {
    static ENABLED: AtomicBool = AtomicBool::new(false);
    if ENABLED.swap(true, Ordering::Relaxed) {
        return Err(MmuError::Twice);
    }
    let mut tables = ArenaTables { used: 0 };
    let process_table = tables.allocate(PROCESS_TABLE_LOG2 - 3).ok_or(MapError::NoMemory(9))?;
    let mut tree = Tree::new(tables)?;
    let image = layout::image();
    for (range, kind) in layout::sections() {
        tree.map(range, kind)?;
    }
    let pool = map.pool();
    if let Some(pool) = pool {
        tree.map(pool, Kind::Pool)?;
    }
    let mut holes: Vec<GpaRange> = map.untouchable().chain([image]).chain(pool).collect();
    holes.sort_unstable_by_key(|hole| hole.start);
    for range in map.memory() {
        map_around(&mut tree, *range, &holes)?;
    }
    let root = process_table_entry(tree.root(), Tree::<ArenaTables>::ROOT_ENTRIES_LOG2);
    // SAFETY: the process table is in the arena, allocated above, and nothing else uses it.
    unsafe { entry(process_table, 0).write_volatile(root.to_be()) };
    postern_arch::sync();
    // SAFETY: the tables stay in the arena, which is used once. They map the image, and all memory that the memory map
    // gives out, to itself.
    unsafe { calls::register_process_table(&Pseries, process_table, PROCESS_TABLE_LOG2) }
        .map_err(MmuError::Register)?;
    *lock::or_end(&TREE) = Some(tree);
    // SAFETY: the tree maps text, data, stack and everything else that Rust code uses to itself, so the
    // next instruction and every pointer mean the same with translation on.
    unsafe { postern_arch::enable_translation() };
    Ok(())
}

/// Calls `found` with each run of equal mappings.
pub fn walk(mut found: impl FnMut(Mapped)) {
    if let Some(tree) = &*lock::or_end(&TREE) {
        tree.walk(&mut found);
    }
}

/// Maps `range` without `holes`, which are in order of address.
fn map_around(tree: &mut Tree<ArenaTables>, range: GpaRange, holes: &[GpaRange]) -> Result<(), MapError> {
    let mut at = range.start;
    for hole in holes.iter().filter(|hole| hole.overlaps(&range)) {
        if hole.start > at {
            tree.map(GpaRange { start: at, len: hole.start.0.saturating_sub(at.0) }, Kind::Data)?;
        }
        at = at.max(hole.end());
    }
    if at < range.end() {
        tree.map(GpaRange { start: at, len: range.end().0.saturating_sub(at.0) }, Kind::Data)?;
    }
    Ok(())
}
