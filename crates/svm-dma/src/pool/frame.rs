//! What is known of each frame, and lists of frames.

use super::{Account, SizeClass, Slot};
use alloc::vec::Vec;

/// The end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// Who uses a frame, and for slots of which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Free,
    Slots { account: Account, class: SizeClass },
}

/// One frame. A slot is free, quarantined, or (neither bit set) in use.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) used_as: Use,
    pub(super) free: u128,
    pub(super) quarantined: u128,
    next: u32,
    previous: u32,
}

impl Frame {
    /// Whether `slot`, of this frame, is in use by the account in its handle.
    #[inline]
    pub(super) fn lends(&self, slot: &Slot) -> bool {
        self.used_as == Use::Slots { account: slot.account, class: slot.class }
            && u32::from(slot.index) < slot.class.slots()
            && (self.free | self.quarantined) & bit(slot.index) == 0
    }
}

/// The bit of a frame's slot.
pub(super) fn bit(index: u8) -> u128 {
    1u128.wrapping_shl(index.into())
}

/// All frames, doubly linked by index: a frame is in at most one list.
#[derive(Debug)]
pub(super) struct Frames {
    frames: Vec<Frame>,
    /// List operations done, to show that an allocation's cost does not depend on how full the pool is.
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Frames {
    /// `count` free frames in no list.
    pub(super) fn new(count: u32) -> Self {
        let frame = |_| Frame { used_as: Use::Free, free: 0, quarantined: 0, next: NIL, previous: NIL };
        Self {
            frames: (0..count).map(frame).collect(),
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Number of frames.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(NIL)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Frame> {
        self.frames.get(index as usize)
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Frame> {
        self.frames.get_mut(index as usize)
    }

    /// Puts `index`, which is in no list, at the front of the list that starts at `head`.
    pub(super) fn push(&mut self, head: &mut u32, index: u32) {
        self.step();
        let old = *head;
        if let Some(frame) = self.get_mut(index) {
            frame.next = old;
            frame.previous = NIL;
            *head = index;
        }
        if let Some(second) = self.get_mut(old) {
            second.previous = index;
        }
    }

    /// Takes `index` out of the list that starts at `head`.
    pub(super) fn unlink(&mut self, head: &mut u32, index: u32) {
        self.step();
        let Some(frame) = self.get_mut(index) else { return };
        let (previous, next) = (frame.previous, frame.next);
        frame.previous = NIL;
        frame.next = NIL;
        match self.get_mut(previous) {
            Some(before) => before.next = next,
            None => *head = next,
        }
        if let Some(after) = self.get_mut(next) {
            after.previous = previous;
        }
    }

    #[cfg(test)]
    fn step(&mut self) {
        self.steps = self.steps.saturating_add(1);
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "the counter exists in tests only")]
    fn step(&mut self) {}
}
