//! Faults of a tree that are ignored with a warning.

use alloc::vec::Vec;
use core::fmt;
use papr::text::HostText;

/// Most warnings that are kept; further ones are only counted.
const MAX_WARNINGS: usize = 32;

/// Why a node or a property is ignored.
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
    /// A range that overlaps an earlier one.
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
    /// The node that this property names does not exist or is unusable.
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
    /// Two host bridges have the same number of this kind.
    Shared {
        /// The kind of number.
        what: &'static str,
        /// The number.
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

/// One warning about a tree. No warning stops the boot by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeWarning {
    /// Name of the node.
    pub node: HostText,
    /// The fault of the node.
    pub fault: Fault,
}

impl fmt::Display for TreeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: {}: {}", self.node, self.fault)
    }
}

/// The warnings about a tree.
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

    /// The warnings that are kept, in the tree's order.
    #[must_use]
    pub fn list(&self) -> &[TreeWarning] {
        &self.list
    }

    /// Number of further warnings.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}
