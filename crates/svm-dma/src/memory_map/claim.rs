//! One owner's range, and what can be wrong with it.

use core::fmt;
use papr::addr::{Gpa, GpaRange};
use thiserror::Error;

/// The owner of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The frame of the exception vectors.
    FirstFrame,
    /// The loaded image, with its stacks and its early heap.
    Image,
    /// A host bridge's window. It is no memory.
    Window,
    /// A reservation of the tree.
    Reservation,
    /// The area that RTAS runs in.
    Rtas,
    /// The initial RAM disk.
    Initrd,
    /// The tree that was handed over.
    Tree,
    /// The shared pool.
    Pool,
    /// The private heap.
    Heap,
    /// Taken, then found in doubt: nobody uses it.
    Quarantine,
}

impl Kind {
    /// Whether the machine describes such a range: these may overlap each other.
    const fn is_described(self) -> bool {
        matches!(self, Self::Reservation | Self::Rtas | Self::Initrd | Self::Tree)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstFrame => "first frame",
            Self::Image => "image",
            Self::Window => "PCI window",
            Self::Reservation => "reservation",
            Self::Rtas => "RTAS area",
            Self::Initrd => "initrd",
            Self::Tree => "device tree",
            Self::Pool => "pool",
            Self::Heap => "heap",
            Self::Quarantine => "quarantine",
        })
    }
}

/// A range of memory with its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The owner.
    pub kind: Kind,
    /// The range, in whole frames.
    pub range: GpaRange,
}

impl Claim {
    /// Whether the two overlap and must not. Windows are compared with each other, to the byte, where bridges are read.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let both = |is: fn(Kind) -> bool| is(self.kind) && is(other.kind);
        let may = both(Kind::is_described) || both(|kind| kind == Kind::Window);
        !may && self.range.overlaps(&other.range)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}+{:#x}", self.kind, self.range.start.0, self.range.len)
    }
}

/// Why memory cannot be used as described or as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MapError {
    /// Two owners have a frame in common.
    #[error("memory map: {claim} overlaps {other}")]
    Overlap {
        /// The claim that was entered.
        claim: Claim,
        /// The claim that was there before.
        other: Claim,
    },
    /// A range that is not inside one region of memory.
    #[error("{0} is not inside one region of memory")]
    OutsideMemory(Claim),
    /// The image ends above 4 GiB.
    #[error("image at {:#x}+{:#x} ends above 4 GiB", .0.start.0, .0.len)]
    ImageTooHigh(GpaRange),
    /// A bridge's window lies over memory.
    #[error("memory map: PCI window at {:#x}+{:#x} overlaps memory at {:#x}+{:#x}", .window.start.0, .window.len, .memory.start.0, .memory.len)]
    WindowOverMemory {
        /// The window's range, as the CPU sees it.
        window: GpaRange,
        /// The memory that it overlaps.
        memory: GpaRange,
    },
    /// The machine has a map already.
    #[error("memory map: there is one already")]
    SecondMap,
    /// A range from here on wraps.
    #[error("memory map: a range from {:#x} on wraps", .0.0)]
    Wraps(Gpa),
    /// A size of 0, or of so much that it wraps when rounded to 64 KiB.
    #[error("{kind} of {len:#x} bytes")]
    Size {
        /// The owner of the range.
        kind: Kind,
        /// Length of the range in bytes.
        len: u64,
    },
    /// No free stretch of memory is long enough.
    #[error("no room for a {kind} of {len:#x} bytes; the longest free stretch is {longest:#x}")]
    NoRoom {
        /// The owner that asked.
        kind: Kind,
        /// Bytes that were asked for.
        len: u64,
        /// Bytes of the longest stretch.
        longest: u64,
    },
}

impl MapError {
    /// Whether it says that there is too little memory, and not that the machine's description is wrong.
    #[must_use]
    pub const fn is_shortage(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::NoRoom { .. })
    }
}
