//! Why a blob is not accepted as a flattened tree.

use super::guard::{MAGIC, MAX_DEPTH, MAX_NODES, MAX_PROPERTIES, MAX_SIZE, VERSION};
use core::fmt;
use thiserror::Error;

/// A part of the blob that the header points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// The header of the blob.
    Header,
    /// The memory reservation block.
    Reservations,
    /// The structure block: tokens.
    Structure,
    /// The strings block: names of properties.
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
        /// Bytes that are there.
        have: usize,
        /// Bytes that the tree needs.
        need: usize,
    },
    /// The first word is not [`MAGIC`].
    #[error("device tree magic is {0:#x}, not {MAGIC:#x}")]
    Magic(u32),
    /// A version that cannot be read.
    #[error("device tree version {version} (compatible with {compatible}), not {VERSION}")]
    Version {
        /// The version that the header states.
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
        /// The block that does not fit.
        block: Block,
        /// Its first byte, from the start of the blob.
        at: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// A block starts at an offset that is not aligned.
    #[error("device tree {block} at {at:#x} is misaligned")]
    Misaligned {
        /// The block that is misaligned.
        block: Block,
        /// Its first byte, from the start of the blob.
        at: u32,
    },
    /// Two blocks share bytes.
    #[error("device tree {0} and {1} overlap")]
    Overlap(Block, Block),
    /// The memory reservations have no end.
    #[error("device tree memory reservations have no end")]
    ReservationsUnterminated,
    /// An unknown token, or one that is not allowed there.
    #[error("device tree token {word:#x} at {at:#x}")]
    Token {
        /// Offset of the token in the structure block, in bytes.
        at: usize,
        /// The word that is no token.
        word: u32,
    },
    /// FDT_NOP, which is not accepted.
    #[error("device tree has an FDT_NOP at {at:#x}, which is not supported")]
    Nop {
        /// Offset in the structure block, in bytes.
        at: usize,
    },
    /// The structure block ends within a token.
    #[error("device tree structure block ends too early at {at:#x}")]
    StructureEnds {
        /// Offset in the structure block, in bytes.
        at: usize,
    },
    /// A property after a child node.
    #[error("device tree property after a child node at {at:#x}")]
    PropertyAfterChild {
        /// Offset in the structure block, in bytes.
        at: usize,
    },
    /// A name without end, too long, empty, not UTF-8, or with a `/`.
    #[error("device tree has a bad name at {at:#x}")]
    Name {
        /// Offset in the structure block, in bytes.
        at: usize,
    },
    /// A property's name lies outside the strings block.
    #[error("device tree property at {at:#x} has its name at {offset:#x}, outside the strings")]
    NameOffset {
        /// Offset of the property in the structure block, in bytes.
        at: usize,
        /// The offset into the strings block.
        offset: u32,
    },
    /// A property that is longer than the rest of the block.
    #[error("device tree property at {at:#x} has {len:#x} bytes")]
    PropertyLength {
        /// Offset of the property in the structure block, in bytes.
        at: usize,
        /// The length that it states, in bytes.
        len: u32,
    },
    /// `#address-cells` or `#size-cells` is not one word.
    #[error("device tree cell count at {at:#x} has {len} bytes, not 4")]
    Cells {
        /// Offset of the property in the structure block, in bytes.
        at: usize,
        /// The length that it states, in bytes.
        len: u32,
    },
    /// Deeper than [`MAX_DEPTH`].
    #[error("device tree deeper than {MAX_DEPTH} nodes at {at:#x}")]
    TooDeep {
        /// Offset in the structure block, in bytes.
        at: usize,
    },
    /// More than [`MAX_NODES`] or [`MAX_PROPERTIES`].
    #[error("device tree of more than {MAX_NODES} nodes or {MAX_PROPERTIES} properties at {at:#x}")]
    TooMany {
        /// Offset of the first that is too many, in the structure block, in bytes.
        at: usize,
    },
}
