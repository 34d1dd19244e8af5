//! What can be wrong with a blob that should be a flattened tree.

use super::guard::{MAGIC, MAX_DEPTH, MAX_NODES, MAX_PROPERTIES, MAX_SIZE, VERSION};
use core::fmt;
use thiserror::Error;

/// A part of the blob that the header points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// The header itself.
    Header,
    /// The memory reservations.
    Reservations,
    /// The tokens.
    Structure,
    /// The property names.
    Strings,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Reservations => "memory reservation block",
            Self::Structure => "structure block",
            Self::Strings => "strings block",
        })
    }
}

/// What is wrong with a blob. `at` is an offset into the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FdtError {
    /// Fewer bytes than the header says, or than a header has.
    #[error("device tree of {need} bytes, only {have} there")]
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// The first word is not [`MAGIC`].
    #[error("device tree magic is {0:#x}, not {MAGIC:#x}")]
    Magic(u32),
    /// A version that cannot be read.
    #[error("device tree version {version} (compatible with {compatible}), not {VERSION}")]
    Version {
        /// Of the tree.
        version: u32,
        /// The oldest one that a reader may know to read it.
        compatible: u32,
    },
    /// `totalsize` is less than a header or more than [`MAX_SIZE`].
    #[error("device tree totalsize {0:#x}, at most {MAX_SIZE:#x}")]
    TotalSize(u32),
    /// A block does not lie within the blob.
    #[error("device tree {block} at {at:#x}+{len:#x} is outside")]
    Outside {
        /// Which.
        block: Block,
        /// Where it starts.
        at: u32,
        /// Its bytes.
        len: u32,
    },
    /// A block starts at an offset that is not aligned.
    #[error("device tree {block} at {at:#x} is misaligned")]
    Misaligned {
        /// Which.
        block: Block,
        /// Where it starts.
        at: u32,
    },
    /// Two blocks share bytes.
    #[error("device tree {0} and {1} overlap")]
    Overlap(Block, Block),
    /// The memory reservations have no end.
    #[error("device tree memory reservations have no end")]
    ReservationsUnterminated,
    /// A token that is not one, or not one that may stand there.
    #[error("device tree token {word:#x} at {at:#x}")]
    Token {
        /// Where.
        at: usize,
        /// The word.
        word: u32,
    },
    /// FDT_NOP, which is not accepted.
    #[error("device tree has an FDT_NOP at {at:#x}, which is not supported")]
    Nop {
        /// Where.
        at: usize,
    },
    /// The structure block ends within a token.
    #[error("device tree structure block ends too early at {at:#x}")]
    StructureEnds {
        /// Where.
        at: usize,
    },
    /// A property after a child node.
    #[error("device tree property after a child node at {at:#x}")]
    PropertyAfterChild {
        /// Where.
        at: usize,
    },
    /// A name without end, too long, empty, not UTF-8, or with a `/`.
    #[error("device tree has a bad name at {at:#x}")]
    Name {
        /// Where.
        at: usize,
    },
    /// A property's name lies outside the strings block.
    #[error("device tree property at {at:#x} has its name at {offset:#x}, outside the strings")]
    NameOffset {
        /// Where the property is.
        at: usize,
        /// The offset into the strings block.
        offset: u32,
    },
    /// A property with more bytes than are left.
    #[error("device tree property at {at:#x} has {len:#x} bytes")]
    PropertyLength {
        /// Where.
        at: usize,
        /// Its length.
        len: u32,
    },
    /// `#address-cells` or `#size-cells` is not one word.
    #[error("device tree cell count at {at:#x} has {len} bytes, not 4")]
    Cells {
        /// Where.
        at: usize,
        /// Its length.
        len: u32,
    },
    /// Deeper than [`MAX_DEPTH`].
    #[error("device tree deeper than {MAX_DEPTH} nodes at {at:#x}")]
    TooDeep {
        /// Where.
        at: usize,
    },
    /// More than [`MAX_NODES`] or [`MAX_PROPERTIES`].
    #[error("device tree of more than {MAX_NODES} nodes or {MAX_PROPERTIES} properties at {at:#x}")]
    TooMany {
        /// Where the one too many is.
        at: usize,
    },
}
