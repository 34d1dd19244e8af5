//! The words of a radix tree (Power ISA 3.0B, book III 5.7.10). In memory they are big-endian, whatever
//! the byte order of the CPU.

use bitflags::bitflags;
use papr::addr::Gpa;

bitflags! {
    /// A page directory or page table entry, without its address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Entry: u64 {
        /// The entry is valid.
        const VALID = 1 << 63;
        /// A leaf: maps a page rather than naming a table.
        const LEAF = 1 << 62;
        /// A software bit: the hypervisor sees the frame, too.
        const SHARED = 0x200;
        /// Referenced; set up front, so that no implementation has to trap to set it.
        const REFERENCED = 0x100;
        /// Changed; likewise.
        const CHANGED = 0x80;
        /// Attribute: non-idempotent I/O.
        const NON_IDEMPOTENT = 0x20;
        /// Only privileged code may use the page.
        const PRIVILEGED = 0x8;
        /// Loads are allowed.
        const READ = 0x4;
        /// Stores are allowed.
        const WRITE = 0x2;
        /// Instruction fetches are allowed.
        const EXECUTE = 0x1;
    }
}

/// Bits of a leaf that hold the page's address.
pub(super) const PAGE_ADDRESS: u64 = 0x01ff_ffff_ffff_f000;
/// Bits of a directory entry that hold the table's address; the smallest table is 256 bytes.
pub(super) const TABLE_ADDRESS: u64 = 0x0fff_ffff_ffff_ff00;

/// The purpose of a mapping, which determines its rights. No kind is both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Instructions: read and execute.
    Text,
    /// Constants, which can only be read.
    ReadOnly,
    /// Data, heap, stacks: read and write.
    Data,
    /// The shared pool: read and write, never executed.
    Pool,
    /// Device registers: read and write, non-idempotent.
    Device,
}

impl Kind {
    pub(super) fn bits(self) -> Entry {
        let leaf = Entry::VALID | Entry::LEAF | Entry::REFERENCED | Entry::CHANGED | Entry::PRIVILEGED;
        leaf | match self {
            Self::Text => Entry::READ | Entry::EXECUTE,
            Self::ReadOnly => Entry::READ,
            Self::Data => Entry::READ | Entry::WRITE,
            Self::Pool => Entry::READ | Entry::WRITE | Entry::SHARED,
            Self::Device => Entry::READ | Entry::WRITE | Entry::NON_IDEMPOTENT,
        }
    }
}

/// Radix tree size: 52 bits of effective address, encoded as 52 - 31 = 21 in two places.
const TREE_SIZE_52: u64 = (21 >> 3) << 61 | (21 & 7) << 5;

/// The first doubleword of a process table entry: the root table at `root`, whose size is
/// 2^`entries_log2` entries. The second doubleword is 0.
#[must_use]
pub const fn process_table_entry(root: Gpa, entries_log2: u32) -> u64 {
    TREE_SIZE_52 | (root.0 & TABLE_ADDRESS) | entries_log2 as u64
}
