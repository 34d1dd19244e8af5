//! Decides, by the ultravisor's map of frames, whether a device may access guest memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use postern_adversary::gate::Gate;

use crate::frames::{FRAME_SHIFT, FrameState, ShareMap};

/// A gate that asks the ultravisor. Before UV_ESM it allows every access; before there is an ultravisor, none.
#[derive(Debug, Default)]
pub struct Keeper {
    map: OnceLock<Arc<ShareMap>>,
    /// Allows all accesses, and counts those to private memory.
    counts: bool,
    private: AtomicU64,
    first: OnceLock<u64>,
}

impl Keeper {
    /// A gate that allows accesses to private memory, as QEMU's own devices have them, and counts them.
    #[must_use]
    pub fn counting() -> Self {
        Self { counts: true, ..Self::default() }
    }

    /// Sets the ultravisor's map. A gate serves one guest, so a second map is ignored.
    pub fn ask(&self, map: Arc<ShareMap>) {
        drop(self.map.set(map));
    }

    /// Number of allowed accesses to private memory, and the address of the first.
    #[must_use]
    pub fn private(&self) -> Option<(u64, u64)> {
        let first = *self.first.get()?;
        Some((self.private.load(Ordering::Relaxed), first))
    }

    fn is_shown(&self, address: u64, length: u64) -> bool {
        let Some(map) = self.map.get() else { return false };
        let Some(last) = length.checked_sub(1).and_then(|most| address.checked_add(most)) else {
            return false;
        };
        let seen = |gfn| matches!(map.state(gfn), Some(FrameState::Normal | FrameState::Shared));
        (address >> FRAME_SHIFT..=last >> FRAME_SHIFT).all(seen)
    }
}

impl Gate for Keeper {
    fn allows(&self, address: u64, length: u64) -> bool {
        let shown = self.is_shown(address, length);
        if !shown && self.counts {
            self.private.fetch_add(1, Ordering::Relaxed);
            self.first.get_or_init(|| address);
        }
        shown || self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::FRAME_SIZE;

    #[test]
    fn a_keeper_without_an_ultravisor_refuses_everything() {
        assert!(!Keeper::default().allows(0, 1));
    }

    #[test]
    fn a_keeper_allows_shared_frames_and_all_frames_of_a_normal_guest() {
        let keeper = Keeper::default();
        let map = Arc::new(ShareMap::new(4 * FRAME_SIZE));
        keeper.ask(Arc::clone(&map));
        assert!(keeper.allows(0, 4 * FRAME_SIZE));
        assert!(!keeper.allows(0, 4 * FRAME_SIZE + 1));
        map.secure_all();
        assert!(!keeper.allows(0, 1));
        map.set(1, FrameState::Shared);
        assert!(keeper.allows(FRAME_SIZE, FRAME_SIZE));
        assert!(!keeper.allows(FRAME_SIZE, FRAME_SIZE + 1));
        assert!(!keeper.allows(FRAME_SIZE, 0));
        assert_eq!(keeper.private(), None);
    }

    #[test]
    fn a_counting_keeper_allows_and_counts_private_accesses() {
        let keeper = Keeper::counting();
        let map = Arc::new(ShareMap::new(4 * FRAME_SIZE));
        keeper.ask(Arc::clone(&map));
        map.secure_all();
        map.set(1, FrameState::Shared);
        assert!(keeper.allows(FRAME_SIZE, 8) && keeper.private().is_none());
        assert!(keeper.allows(2 * FRAME_SIZE, 8) && keeper.allows(0, 8));
        assert_eq!(keeper.private(), Some((2, 2 * FRAME_SIZE)));
    }
}
