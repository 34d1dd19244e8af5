//! That the registers of every hypercall are kept to what the published ultravisor does with them.

use crate::inject::Random;
use std::collections::HashSet;

/// That the registers of every hypercall are kept to.
pub(super) struct Discipline {
    pub(super) random: Random,
    pub(super) sites: HashSet<u64>,
    /// Calls that were kept to it.
    pub(super) calls: u64,
}

impl Discipline {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), sites: HashSet::new(), calls: 0 }
    }
}
