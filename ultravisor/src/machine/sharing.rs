//! The effects of UV_SHARE_PAGE, UV_UNSHARE_PAGE and UV_UNSHARE_ALL_PAGES on the guest's frames.

use std::io;
use std::ops::Range;

use super::{Behaviour, Machine, Verdict};
use crate::call::{Code, Number};
use crate::frames::{FRAME_SHIFT, FrameState};
use crate::ram::GuestRam;
use crate::shown;
use crate::violation::Violation;

impl Machine {
    /// The frames of a call, or the error code for an invalid range.
    fn range(&mut self, opcode: u64, gfn: u64, count: u64) -> Result<Range<u64>, Code> {
        let frames = self.map.len();
        let outside = |gfn| self.map.state(gfn) == Some(FrameState::Outside);
        match gfn.checked_add(count) {
            Some(end) if end <= frames && gfn < frames && count > 0 => match (gfn..end)
                .find(|gfn| outside(*gfn))
            {
                None => return Ok(gfn..end),
                // The guest cannot know: this is no violation.
                Some(at) => {
                    let documented = if at == gfn { Code::PARAMETER } else { Code::P2 };
                    return Err(if self.behaviour == Behaviour::Published { Code::P2 } else { documented });
                }
            },
            _ => self.violations.push(Violation::BadRange { opcode, gfn, count }),
        }
        match self.behaviour {
            // An empty range inside RAM passes, except at frame 0 where the unsigned end wraps.
            Behaviour::Published if count == 0 && gfn > 0 && gfn < frames => Ok(gfn..gfn),
            Behaviour::Documented if gfn >= frames => Err(Code::PARAMETER),
            _ => Err(Code::P2),
        }
    }

    /// Records the first frame of the range that a correct guest does not share or unshare.
    fn note_reserved(&mut self, opcode: u64, range: &Range<u64>) {
        let taken = |state: FrameState| state.is_ultravisors() || state == FrameState::Pseudo;
        if let Some(gfn) = range.clone().find(|gfn| self.map.state(*gfn).is_some_and(taken)) {
            self.violations.push(Violation::ReservedFrame { opcode, gfn });
        }
    }

    pub(super) fn share(&mut self, ram: &GuestRam, gfn: u64, count: u64) -> io::Result<Verdict> {
        let opcode = Number::SharePage as u64;
        let range = match self.range(opcode, gfn, count) {
            Ok(range) => range,
            Err(code) => return Ok(self.finished(code)),
        };
        let (start, end) = (range.start << FRAME_SHIFT, range.end << FRAME_SHIFT);
        let hit = |(at, size): &&(u64, u64)| *at < end && start < at + size;
        if let Some((address, _)) = self.in_use.iter().find(hit).filter(|_| !self.moves) {
            self.violations.push(Violation::SharesItself(*address));
        }
        self.note_reserved(opcode, &range);
        for run in self.runs(range) {
            match self.map.state(run.start) {
                // The ultravisor does not tell its own secret frames from others, so their secrets are lost.
                Some(FrameState::Secure | FrameState::SecureReserved) => {
                    // Cleared before the host can see it.
                    ram.forget(run.clone())?;
                    for gfn in run {
                        self.map.set(gfn, FrameState::Shared);
                    }
                }
                Some(FrameState::Shared) if self.behaviour == Behaviour::Documented => ram.forget(run)?,
                _ => {}
            }
        }
        Ok(self.finished(Code::SUCCESS))
    }

    pub(super) fn unshare(&mut self, ram: &GuestRam, gfn: u64, count: u64) -> io::Result<Verdict> {
        let opcode = Number::UnsharePage as u64;
        let range = match self.range(opcode, gfn, count) {
            Ok(range) => range,
            Err(code) => return Ok(self.finished(code)),
        };
        self.note_reserved(opcode, &range);
        let stays = |gfn| matches!(self.map.state(gfn), Some(FrameState::Implicit | FrameState::Pseudo));
        if range.clone().any(stays) {
            return Ok(self.finished(Code::P2));
        }
        for run in self.runs(range) {
            let shared = self.map.is_shared(run.start);
            if shared
                && !self.moves
                && let Some(at) = shown::data(ram, &run)?
            {
                self.violations.push(Violation::ShowedData(at));
            }
            if shared || self.behaviour == Behaviour::Documented {
                ram.forget(run.clone())?;
                for gfn in run {
                    self.map.set(gfn, FrameState::Secure);
                }
            }
        }
        Ok(self.finished(Code::SUCCESS))
    }

    /// A range as runs of frames of the same state.
    fn runs(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for gfn in range {
            match runs.last_mut() {
                Some(run) if self.map.state(run.start) == self.map.state(gfn) => run.end = gfn + 1,
                _ => runs.push(gfn..gfn + 1),
            }
        }
        runs
    }

    pub(super) fn unshare_all(&mut self, ram: &GuestRam) -> io::Result<Verdict> {
        for frame in self.map.shared_ranges().into_iter().flatten() {
            self.make_secure(ram, frame)?;
        }
        Ok(self.finished(Code::SUCCESS))
    }

    fn make_secure(&self, ram: &GuestRam, gfn: u64) -> io::Result<()> {
        self.map.set(gfn, FrameState::Secure);
        ram.zero_frame(gfn)?;
        Ok(())
    }
}
