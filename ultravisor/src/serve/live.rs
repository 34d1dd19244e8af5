//! What is known of the kernel's hypercalls while each is checked before it is made.

use crate::cut_short::CutShort;
use std::collections::HashMap;

/// What the check of each hypercall keeps.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Addresses of the kernel's hypercalls.
    pub(super) sites: HashMap<u64, u64>,
    /// The call that ended the machine.
    pub(super) cut_short: Option<CutShort>,
}

impl Live {
    pub(super) fn is_site(&self, address: u64) -> bool {
        self.sites.contains_key(&address)
    }
}
