//! Which frames a guest brings into secure memory, and which are shared with the host by then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use super::super::frames::{FRAME_SHIFT, FrameState, ShareMap};
use super::super::ram::GuestRam;

/// The frames of a guest during UV_ESM. All start as secure and empty; [`Self::page_in`] brings their content.
#[derive(Debug)]
pub(super) struct Paging<'a> {
    ram: &'a GuestRam,
    map: &'a ShareMap,
    kept: BTreeSet<u64>,
    states: BTreeMap<u64, FrameState>,
    everything: bool,
}

/// The frames that hold `[address, address + length)`; `None` if that is empty or wraps around.
pub(super) fn frames(address: u64, length: u64) -> Option<Range<u64>> {
    let last = address.checked_add(length.checked_sub(1)?)?;
    Some(address >> FRAME_SHIFT..(last >> FRAME_SHIFT) + 1)
}

/// Numbers as runs.
fn runs(numbers: impl IntoIterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

impl<'a> Paging<'a> {
    pub(super) fn new(ram: &'a GuestRam, map: &'a ShareMap) -> Self {
        Self { ram, map, kept: BTreeSet::new(), states: BTreeMap::new(), everything: false }
    }

    /// Whether all these frames are in the VM's memory slots.
    pub(super) fn in_slots(&self, frames: &Range<u64>) -> bool {
        let in_slot = |gfn| self.map.state(gfn).is_some_and(|state| state != FrameState::Outside);
        frames.end <= self.map.len() && frames.clone().all(in_slot)
    }

    /// Brings in the whole frames that hold these bytes. Does nothing and returns false if there are none, or not all of
    /// them are the VM's. Shared frames stay shared.
    pub(super) fn page_in(&mut self, address: u64, length: u64) -> bool {
        let Some(frames) = frames(address, length).filter(|frames| self.in_slots(frames)) else {
            return false;
        };
        self.kept.extend(frames);
        true
    }

    /// Brings in all memory.
    pub(super) fn page_in_everything(&mut self) {
        self.everything = true;
    }

    /// Shares frames with the host for the ultravisor's own use. Their content is lost.
    pub(super) fn share(&mut self, frames: Range<u64>) -> io::Result<()> {
        for gfn in frames {
            if self.states.get(&gfn).is_none_or(|state| *state == FrameState::SecureReserved) {
                self.ram.zero_frame(gfn)?;
                self.states.insert(gfn, FrameState::Implicit);
            }
        }
        Ok(())
    }

    /// Gives the host pages of its own in place of these. The guest keeps its bytes.
    pub(super) fn pseudo_share(&mut self, frames: Range<u64>) {
        for gfn in frames {
            if self.states.get(&gfn).is_none_or(|state| *state == FrameState::SecureReserved) {
                self.states.insert(gfn, FrameState::Pseudo);
            }
        }
    }

    /// Records frames that the ultravisor uses as secure memory.
    pub(super) fn reserve(&mut self, frames: Range<u64>) {
        for gfn in frames {
            self.states.entry(gfn).or_insert(FrameState::SecureReserved);
        }
    }

    /// The frames whose content the guest keeps.
    pub(super) fn kept(&self) -> Vec<Range<u64>> {
        let lost = |gfn: &u64| matches!(self.states.get(gfn), Some(FrameState::Implicit));
        if self.everything {
            runs((0..self.map.len()).filter(|gfn| self.in_slots(&(*gfn..gfn + 1)) && !lost(gfn)))
        } else {
            runs(self.kept.iter().copied().filter(|gfn| !lost(gfn)))
        }
    }

    /// Makes the guest secure: every frame that was not brought in is cleared. Returns how many frames that were.
    pub(super) fn commit(&self) -> io::Result<u64> {
        self.map.secure_all();
        for (gfn, state) in &self.states {
            self.map.set(*gfn, *state);
        }
        let mut forgotten = 0;
        let mut forget = |frames: Range<u64>| {
            // Frames outside the slots are the host's: they do not change.
            for run in self.slots_of(frames) {
                forgotten += run.end - run.start;
                self.ram.forget(run)?;
            }
            io::Result::Ok(())
        };
        let mut at = 0;
        for run in self.kept() {
            forget(at..run.start)?;
            at = run.end;
        }
        forget(at..self.map.len())?;
        Ok(forgotten)
    }

    fn slots_of(&self, frames: Range<u64>) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        let mut at = frames.start;
        for outside in self.map.ranges_in(FrameState::Outside) {
            if outside.start < frames.end && outside.end > at {
                runs.push(at..outside.start.max(at));
                at = outside.end;
            }
        }
        runs.push(at..frames.end.max(at));
        runs.retain(|run| !run.is_empty());
        runs
    }

    /// Aborts UV_ESM: the guest goes on as a normal VM, in which the frames shared so far hold zeros and all others are as
    /// they were.
    pub(super) fn abort(&self) -> io::Result<()> {
        for (gfn, state) in &self.states {
            if matches!(state, FrameState::Implicit | FrameState::Pseudo) {
                self.ram.zero_frame(*gfn)?;
            }
        }
        Ok(())
    }
}
