//! State for treating the registers of every hypercall as the published ultravisor does.

use crate::inject::Random;
use std::collections::HashSet;

/// See [`super::hypercall_registers`].
pub(super) struct Discipline {
    pub(super) random: Random,
    pub(super) sites: HashSet<u64>,
    /// Number of calls that were treated so.
    pub(super) calls: u64,
}

impl Discipline {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), sites: HashSet::new(), calls: 0 }
    }
}
