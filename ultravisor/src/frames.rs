//! The state of each 64 KiB frame of the guest, kept outside the guest.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

/// log2 of a frame's size: ultracalls count 64 KiB frames whatever page size the guest uses
/// (open-power/ultravisor `include/svm_host.h`, SVM_PAGESHIFT).
pub const FRAME_SHIFT: u32 = 16;
/// Bytes in a frame.
pub const FRAME_SIZE: u64 = 1 << FRAME_SHIFT;

/// State of one frame. Source: open-power/ultravisor `include/svm_host.h`, without the states that last for the
/// time of one hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameState {
    /// The VM is not secure: the host sees everything.
    Normal,
    /// Private to the guest.
    Secure,
    /// The guest shared it.
    Shared,
    /// The ultravisor shared it with the host for its own use (RTAS buffers, TSS buffer): never unshared.
    Implicit,
    /// The guest's own RTAS area: the host sees a page of its own there, and the guest keeps its bytes. A share succeeds
    /// and does nothing.
    Pseudo,
    /// The ultravisor keeps secrets here (ESM blob, TSS transfer). Every ultracall treats the frame as ordinary secure
    /// memory: a share succeeds and destroys them.
    SecureReserved,
    /// RAM by the device tree, but in none of the VM's memory slots.
    Outside,
}

const EVER_SHARED: u8 = 0x80;

impl FrameState {
    const ALL: [Self; 7] = [
        Self::Normal,
        Self::Secure,
        Self::Shared,
        Self::Implicit,
        Self::Pseudo,
        Self::SecureReserved,
        Self::Outside,
    ];

    fn bits(self) -> u8 {
        self as u8
    }

    fn from_bits(bits: u8) -> Self {
        Self::ALL.get(usize::from(bits & !EVER_SHARED)).copied().unwrap_or(Self::Outside)
    }

    /// Whether the ultravisor reserved the frame for itself.
    #[must_use]
    pub fn is_ultravisors(self) -> bool {
        matches!(self, Self::Implicit | Self::SecureReserved)
    }
}

/// The shared frames by an ultravisor's account, as runs of 64 KiB frame numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Shared now.
    pub now: Vec<Range<u64>>,
    /// Shared at any time.
    pub ever: Vec<Range<u64>>,
}

impl Shared {
    /// Whether every byte lies in a frame that is shared.
    #[must_use]
    pub fn allows(&self, address: u64, bytes: u64) -> bool {
        let Some(last) = bytes.checked_sub(1).and_then(|most| address.checked_add(most)) else {
            return false;
        };
        let inside = |gfn: u64| self.now.iter().any(|run| run.contains(&gfn));
        (address >> FRAME_SHIFT..=last >> FRAME_SHIFT).all(inside)
    }
}

/// The map of all frames. One thread, the ultravisor, changes it; any thread may read it while the guest runs.
#[derive(Debug)]
pub struct ShareMap {
    frames: Vec<AtomicU8>,
}

impl ShareMap {
    /// All frames of `ram_size` bytes in state Normal. A part frame at the end is not a frame.
    #[must_use]
    pub fn new(ram_size: u64) -> Self {
        Self { frames: (0..ram_size >> FRAME_SHIFT).map(|_| AtomicU8::new(0)).collect() }
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Whether the guest has no frame at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn frame(&self, gfn: u64) -> Option<&AtomicU8> {
        self.frames.get(usize::try_from(gfn).ok()?)
    }

    /// State of a frame; `None` outside RAM.
    #[must_use]
    pub fn state(&self, gfn: u64) -> Option<FrameState> {
        self.frame(gfn).map(|frame| FrameState::from_bits(frame.load(Ordering::SeqCst)))
    }

    /// Whether the guest has this frame shared now.
    #[must_use]
    pub fn is_shared(&self, gfn: u64) -> bool {
        self.state(gfn) == Some(FrameState::Shared)
    }

    /// Whether every byte of `[address, address + length)` lies in a frame that is shared now.
    #[must_use]
    pub fn allows(&self, address: u64, length: u64) -> bool {
        let Some(last) = length.checked_sub(1).and_then(|most| address.checked_add(most)) else {
            return false;
        };
        (address >> FRAME_SHIFT..=last >> FRAME_SHIFT).all(|gfn| self.is_shared(gfn))
    }

    /// Runs of frames that are shared now, as guest frame numbers.
    #[must_use]
    pub fn shared_ranges(&self) -> Vec<Range<u64>> {
        self.ranges(|bits| FrameState::from_bits(bits) == FrameState::Shared)
    }

    /// Runs of frames that were shared at any time.
    #[must_use]
    pub fn ever_shared_ranges(&self) -> Vec<Range<u64>> {
        self.ranges(|bits| bits & EVER_SHARED != 0)
    }

    /// Runs of frames that the ultravisor keeps for itself.
    #[must_use]
    pub fn reserved_ranges(&self) -> Vec<Range<u64>> {
        self.ranges(|bits| FrameState::from_bits(bits).is_ultravisors())
    }

    /// Runs of frames in this state.
    #[must_use]
    pub fn ranges_in(&self, state: FrameState) -> Vec<Range<u64>> {
        self.ranges(|bits| FrameState::from_bits(bits) == state)
    }

    fn ranges(&self, wanted: impl Fn(u8) -> bool) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (gfn, frame) in (0..).zip(&self.frames) {
            if wanted(frame.load(Ordering::SeqCst)) {
                match runs.last_mut() {
                    Some(run) if run.end == gfn => run.end = gfn + 1,
                    _ => runs.push(gfn..gfn + 1),
                }
            }
        }
        runs
    }

    /// Changes a frame; false outside RAM. Only the ultravisor and tests call this.
    pub fn set(&self, gfn: u64, state: FrameState) -> bool {
        let Some(frame) = self.frame(gfn) else { return false };
        let ever = match state {
            FrameState::Shared => EVER_SHARED,
            _ => frame.load(Ordering::SeqCst) & EVER_SHARED,
        };
        frame.store(state.bits() | ever, Ordering::SeqCst);
        true
    }

    /// Forgets what was shared and is no more.
    pub fn forget_history(&self) {
        for frame in &self.frames {
            if FrameState::from_bits(frame.load(Ordering::SeqCst)) != FrameState::Shared {
                frame.fetch_and(!EVER_SHARED, Ordering::SeqCst);
            }
        }
    }

    /// Makes every frame in the VM's slots Secure, as UV_ESM does.
    pub fn secure_all(&self) {
        for gfn in 0..self.len() {
            if self.state(gfn) != Some(FrameState::Outside) {
                self.set(gfn, FrameState::Secure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_and_history_is_kept() {
        let map = ShareMap::new(16 * FRAME_SIZE + 5);
        assert_eq!(map.len(), 16);
        map.secure_all();
        for gfn in [3, 4, 5, 9] {
            assert!(map.set(gfn, FrameState::Shared));
        }
        assert_eq!(map.shared_ranges(), [3..6, 9..10]);
        map.set(4, FrameState::Secure);
        assert_eq!(map.shared_ranges(), [3..4, 5..6, 9..10]);
        assert_eq!(map.ever_shared_ranges(), [3..6, 9..10]);
        map.forget_history();
        assert_eq!(map.ever_shared_ranges(), [3..4, 5..6, 9..10]);
        assert!(!map.is_shared(4));
        assert!(!map.is_shared(1 << 40));
        assert!(!map.set(16, FrameState::Shared));
    }

    #[test]
    fn every_state_is_kept_beside_the_history() {
        let map = ShareMap::new(FRAME_SIZE);
        map.set(0, FrameState::Shared);
        for state in FrameState::ALL {
            map.set(0, state);
            assert_eq!(map.state(0), Some(state));
            assert_eq!(map.ever_shared_ranges().len(), 1);
        }
    }

    #[test]
    fn what_is_outside_the_slots_stays_there() {
        let map = ShareMap::new(4 * FRAME_SIZE);
        map.set(2, FrameState::Outside);
        map.secure_all();
        assert_eq!(map.state(2), Some(FrameState::Outside));
        assert_eq!(map.state(3), Some(FrameState::Secure));
    }

    #[test]
    fn an_access_is_allowed_only_if_all_of_it_is_shared() {
        let map = ShareMap::new(8 * FRAME_SIZE);
        map.set(2, FrameState::Shared);
        map.set(3, FrameState::Shared);
        assert!(map.allows(2 * FRAME_SIZE, 2 * FRAME_SIZE));
        assert!(!map.allows(2 * FRAME_SIZE, 2 * FRAME_SIZE + 1));
        assert!(!map.allows(2 * FRAME_SIZE - 1, 1));
        assert!(!map.allows(2 * FRAME_SIZE, 0));
        assert!(!map.allows(u64::MAX, 2));
    }
}
