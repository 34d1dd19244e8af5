//! What the platform says about memory, in plain ranges.

use alloc::vec::Vec;
use papr::addr::{Gpa, GpaRange};

/// The ranges that a machine's description names; any of them may be a lie. In bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Memory, in ascending order.
    pub memory: Vec<GpaRange>,
    /// Memory that somebody else uses.
    pub reserved: Vec<GpaRange>,
    /// Start and length of each window of each host bridge; an end may wrap.
    pub windows: Vec<(Gpa, u64)>,
    /// What RTAS uses.
    pub rtas: Option<GpaRange>,
    /// The initial RAM disk.
    pub initrd: Option<GpaRange>,
}
