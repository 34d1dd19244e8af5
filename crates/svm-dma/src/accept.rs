//! Proves that memory belongs to this VM before anything private is in it.
//!
//! The tree may describe memory that is in none of the VM's memory slots. An access there exits to the host, with its
//! data. Two things keep private data away from it:
//!
//! * The first access to each frame is by an instruction that the ultravisor's emulation of such accesses does not
//!   know ([`Unproved`]): hardware stops there and tells the host nothing.
//! * The ultravisor zeroes a frame when it is shared and when it is taken back. So a public word in each frame must
//!   be gone after UV_SHARE_PAGE, and another after UV_UNSHARE_PAGE. r3 proves neither.
//!
//! A run in doubt may be visible to the host. Nobody uses it.

use super::share::{LONGEST_RUN, ShareError, call_until_settled};
use core::fmt;
use papr::addr::{FRAME_SIZE, Gfn, Gpa, GpaRange};
use papr::clock::Clock;
use papr::platform::Ultravisor;
use papr::ultracall::Ultracall;

/// Most bytes per pair of calls: the ultravisor does not interrupt a call.
pub const BATCH: usize = 16 << 20;

/// The first half of the word that each frame holds while it is proved; the second half is its frame number. The host
/// may see both.
pub const PUBLIC: u64 = u64::from_le_bytes(*b"postern!");

/// Memory whose owner is not proved. Each access is one of 16 bytes that the ultravisor cannot emulate: by a vector
/// register, where the processor has them.
///
/// # Implementation safety
/// The value is the only owner of the frames that [`Self::range`] names, always the same, and no reference to their
/// bytes exists: they are zeroed. No call touches a byte outside of them.
#[allow(unsafe_code, reason = "the frames that an implementor names are zeroed")]
pub unsafe trait Unproved {
    /// The frames' guest physical addresses.
    fn range(&self) -> GpaRange;
    /// Writes at `offset`, a multiple of 16.
    fn put(&self, offset: usize, word: [u64; 2]);
    /// Reads at `offset`, a multiple of 16.
    fn get(&self, offset: usize) -> [u64; 2];
}

/// Which half of the proof failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// UV_SHARE_PAGE failed, or left a frame as it was.
    Share(ShareError),
    /// UV_UNSHARE_PAGE failed, or left a frame as it was: the host may see the frames.
    Unshare(ShareError),
}

impl AcceptError {
    /// Whether another range may succeed.
    #[must_use]
    pub const fn another_run_may_do(&self) -> bool {
        let (Self::Share(error) | Self::Unshare(error)) = self;
        error.another_range_may_do()
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(ShareError::PatternIntact(gfn)) => {
                write!(f, "frame {:#x} is not the VM's: UV_SHARE_PAGE changed nothing", gfn.0)
            }
            Self::Unshare(ShareError::PatternIntact(gfn)) => {
                write!(f, "frame {:#x} may still be shared: UV_UNSHARE_PAGE changed nothing", gfn.0)
            }
            Self::Share(error) => write!(f, "UV_SHARE_PAGE: {error}"),
            Self::Unshare(error) => write!(f, "UV_UNSHARE_PAGE: {error}"),
        }
    }
}

/// What a proof took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Number of ultracalls made.
    pub calls: u32,
}

/// Proves that each frame of `memory`, whole frames that nobody uses, belongs to the VM and is private. The word that
/// is checked in each frame is zero afterwards.
///
/// # Errors
/// A call failed, or did not zero a frame: none of the memory may be used.
#[allow(unsafe_code, reason = "a share and its undoing zero the frames they name")]
pub fn accept(
    uv: &impl Ultravisor,
    clock: &impl Clock,
    memory: &impl Unproved,
) -> Result<Proof, AcceptError> {
    let range = memory.range();
    let whole = |number: u64| number.is_multiple_of(FRAME_SIZE as u64);
    if !whole(range.start.0) {
        return Err(AcceptError::Share(ShareError::Misaligned(range.start)));
    }
    let len = usize::try_from(range.len).unwrap_or(usize::MAX);
    if len == 0 || !whole(range.len) {
        return Err(AcceptError::Share(ShareError::NotWholeFrames(len)));
    }
    let mut proof = Proof::default();
    for start in (0..len).step_by(BATCH) {
        let end = start.saturating_add(BATCH).min(len);
        let batch = Batch { memory, base: range.start, start, end };
        for (call, failed) in [
            (Ultracall::SharePage, AcceptError::Share as fn(ShareError) -> AcceptError),
            (Ultracall::UnsharePage, AcceptError::Unshare),
        ] {
            batch.mark();
            // SAFETY: the frames are some of `memory`, their only owner: no reference to them exists.
            let (calls, answer) =
                unsafe { call_until_settled(uv, clock, call, batch.first(), batch.frames()) };
            proof.calls = proof.calls.saturating_add(calls);
            answer.and_then(|()| batch.verify()).map_err(failed)?;
        }
    }
    Ok(proof)
}

/// Frames that are proved by one pair of calls, as offsets into the memory.
struct Batch<'a, M> {
    memory: &'a M,
    base: Gpa,
    start: usize,
    end: usize,
}

impl<M: Unproved> Batch<'_, M> {
    fn gfn(&self, offset: usize) -> Gfn {
        Gfn::from(Gpa(self.base.0.saturating_add(offset as u64)))
    }

    fn first(&self) -> Gfn {
        self.gfn(self.start)
    }

    fn frames(&self) -> u32 {
        const { assert!(BATCH as u64 / FRAME_SIZE as u64 <= LONGEST_RUN, "a batch fits into one call") };
        u32::try_from(self.end.saturating_sub(self.start) / FRAME_SIZE).unwrap_or(0)
    }

    fn offsets(&self) -> impl Iterator<Item = usize> {
        (self.start..self.end).step_by(FRAME_SIZE)
    }

    fn mark(&self) {
        for offset in self.offsets() {
            self.memory.put(offset, [PUBLIC, self.gfn(offset).0]);
        }
    }

    fn verify(&self) -> Result<(), ShareError> {
        for offset in self.offsets() {
            let gfn = self.gfn(offset);
            match self.memory.get(offset) {
                [0, 0] => {}
                [PUBLIC, number] if number == gfn.0 => return Err(ShareError::PatternIntact(gfn)),
                _ => return Err(ShareError::NotZeroed(gfn, 0)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "the ultravisor of these tests reaches no memory of this process")]
mod tests;
