//! What can be wrong with a blob that should be a flattened tree.

use super::guard::{MAGIC, MAX_DEPTH, MAX_NODES, MAX_PROPERTIES, MAX_SIZE, VERSION};
use core::fmt;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdtError {
    /// Fewer bytes than the header says, or than a header has.
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// The first word is not [`MAGIC`].
    Magic(u32),
    /// A version that cannot be read.
    Version {
        /// Of the tree.
        version: u32,
        /// The oldest one that a reader may know to read it.
        compatible: u32,
    },
    /// `totalsize` is less than a header or more than [`MAX_SIZE`].
    TotalSize(u32),
    /// A block does not lie within the blob.
    Outside {
        /// Which.
        block: Block,
        /// Where it starts.
        at: u32,
        /// Its bytes.
        len: u32,
    },
    /// A block starts at an offset that is not aligned.
    Misaligned {
        /// Which.
        block: Block,
        /// Where it starts.
        at: u32,
    },
    /// Two blocks share bytes.
    Overlap(Block, Block),
    /// The memory reservations have no end.
    ReservationsUnterminated,
    /// A token that is not one, or not one that may stand there.
    Token {
        /// Where.
        at: usize,
        /// The word.
        word: u32,
    },
    /// FDT_NOP, which is not accepted.
    Nop {
        /// Where.
        at: usize,
    },
    /// The structure block ends within a token.
    StructureEnds {
        /// Where.
        at: usize,
    },
    /// A property after a child node.
    PropertyAfterChild {
        /// Where.
        at: usize,
    },
    /// A name without end, too long, empty, not UTF-8, or with a `/`.
    Name {
        /// Where.
        at: usize,
    },
    /// A property's name lies outside the strings block.
    NameOffset {
        /// Where the property is.
        at: usize,
        /// The offset into the strings block.
        offset: u32,
    },
    /// A property with more bytes than are left.
    PropertyLength {
        /// Where.
        at: usize,
        /// Its length.
        len: u32,
    },
    /// `#address-cells` or `#size-cells` is not one word.
    Cells {
        /// Where.
        at: usize,
        /// Its length.
        len: u32,
    },
    /// Deeper than [`MAX_DEPTH`].
    TooDeep {
        /// Where.
        at: usize,
    },
    /// More than [`MAX_NODES`] or [`MAX_PROPERTIES`].
    TooMany {
        /// Where the one too many is.
        at: usize,
    },
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { have, need } => write!(f, "device tree of {need} bytes, only {have} there"),
            Self::Magic(word) => write!(f, "device tree magic is {word:#x}, not {MAGIC:#x}"),
            Self::Version { version, compatible } => {
                write!(f, "device tree version {version} (compatible with {compatible}), not {VERSION}")
            }
            Self::TotalSize(size) => write!(f, "device tree totalsize {size:#x}, at most {MAX_SIZE:#x}"),
            Self::Outside { block, at, len } => {
                write!(f, "device tree {block} at {at:#x}+{len:#x} is outside")
            }
            Self::Misaligned { block, at } => write!(f, "device tree {block} at {at:#x} is misaligned"),
            Self::Overlap(one, other) => write!(f, "device tree {one} and {other} overlap"),
            Self::ReservationsUnterminated => f.write_str("device tree memory reservations have no end"),
            Self::Token { at, word } => write!(f, "device tree token {word:#x} at {at:#x}"),
            Self::Nop { at } => write!(f, "device tree has an FDT_NOP at {at:#x}, which is not supported"),
            Self::StructureEnds { at } => write!(f, "device tree structure block ends too early at {at:#x}"),
            Self::PropertyAfterChild { at } => {
                write!(f, "device tree property after a child node at {at:#x}")
            }
            Self::Name { at } => write!(f, "device tree has a bad name at {at:#x}"),
            Self::NameOffset { at, offset } => {
                write!(f, "device tree property at {at:#x} has its name at {offset:#x}, outside the strings")
            }
            Self::PropertyLength { at, len } => {
                write!(f, "device tree property at {at:#x} has {len:#x} bytes")
            }
            Self::Cells { at, len } => write!(f, "device tree cell count at {at:#x} has {len} bytes, not 4"),
            Self::TooDeep { at } => write!(f, "device tree deeper than {MAX_DEPTH} nodes at {at:#x}"),
            Self::TooMany { at } => {
                write!(
                    f,
                    "device tree of more than {MAX_NODES} nodes or {MAX_PROPERTIES} properties at {at:#x}"
                )
            }
        }
    }
}
