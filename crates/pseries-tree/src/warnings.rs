//! What was odd in a tree and has been left out.

use alloc::vec::Vec;
use core::fmt;
use papr::text::HostText;

/// Most warnings that are kept; more are only counted.
const MAX_WARNINGS: usize = 32;

/// Why a node or a property was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The property is not there.
    Missing(&'static str),
    /// The property's value is not of the form it must have.
    Malformed(&'static str),
    /// A range has no bytes.
    Empty,
    /// A range whose end wraps, or lies beyond what a CPU can address.
    Wraps {
        /// First byte.
        start: u64,
        /// Length in bytes.
        len: u64,
    },
    /// A range that has bytes in common with one before it.
    Overlaps {
        /// First byte.
        start: u64,
        /// Length in bytes.
        len: u64,
    },
    /// A range that is not in guest memory.
    OutsideMemory {
        /// First byte.
        start: u64,
        /// Length in bytes.
        len: u64,
    },
    /// What `name` names is not there.
    Dangling(&'static str),
    /// The windows of a host bridge cannot be used.
    Windows(papr::host_bridge::WindowError),
    /// The default DMA window has no page, is not aligned to pages, or wraps.
    DmaWindow {
        /// First bus address.
        base: u64,
        /// Size in bytes.
        size: u64,
    },
    /// Two host bridges with the same number of that name.
    Shared {
        /// Which kind of number it is.
        what: &'static str,
        /// The number that two bridges have.
        number: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "no {name}"),
            Self::Malformed(name) => write!(f, "malformed {name}"),
            Self::Empty => f.write_str("range of no bytes"),
            Self::Wraps { start, len } => write!(f, "range {start:#x}+{len:#x} wraps"),
            Self::Overlaps { start, len } => write!(f, "range {start:#x}+{len:#x} overlaps one before it"),
            Self::OutsideMemory { start, len } => write!(f, "range {start:#x}+{len:#x} is not guest memory"),
            Self::Dangling(name) => write!(f, "{name} names nothing that can be used"),
            Self::Windows(error) => write!(f, "{error}"),
            Self::DmaWindow { base, size } => write!(f, "unusable DMA window {base:#x}+{size:#x}"),
            Self::Shared { what, number } => write!(f, "{what} {number:#x} is another host bridge's"),
        }
    }
}

/// One oddity of a tree. None of them stops the boot by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeWarning {
    /// Name of the node.
    pub node: HostText,
    /// What is odd about the node.
    pub fault: Fault,
}

impl fmt::Display for TreeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: {}: {}", self.node, self.fault)
    }
}

/// The oddities of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    list: Vec<TreeWarning>,
    left_out: usize,
}

impl Warnings {
    pub(super) fn add(&mut self, node: &str, fault: Fault) {
        if self.list.len() < MAX_WARNINGS {
            self.list.push(TreeWarning { node: HostText::new(node.as_bytes()), fault });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// The first oddities, at most as many as are kept.
    #[must_use]
    pub fn list(&self) -> &[TreeWarning] {
        &self.list
    }

    /// How many more oddities there were.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}
