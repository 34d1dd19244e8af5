//! What the platform says about memory, in plain ranges.

use crate::addr::{Gpa, GpaRange};
use alloc::vec::Vec;

/// The ranges that the machine's description names, in bytes. The host chooses all of them, and nothing is validated
/// here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Memory, by ascending address.
    pub memory: Vec<GpaRange>,
    /// Ranges that the tree reserves.
    pub reserved: Vec<GpaRange>,
    /// Start and length of each window of each host bridge; an end may wrap.
    pub windows: Vec<(Gpa, u64)>,
    /// The range that RTAS uses.
    pub rtas: Option<GpaRange>,
    /// The initial RAM disk.
    pub initrd: Option<GpaRange>,
}
