//! Shares one range with the host and verifies that it is shared.
//!
//! r3 alone proves nothing (see [`UvStatus::Unwritten`]). The proof is that the ultravisor zeroes a frame when it is
//! first shared: a pattern written before the call must read as zeros after it. If anything is in doubt, the range may
//! be visible to the host, and nothing uses, reads or frees it again.

use crate::memory_map::OwnedFrames;
use core::fmt;
use core::time::Duration;
use papr::addr::{FRAME_SIZE, Gfn, Gpa, GpaRange};
use papr::clock::{Clock, Deadline};
use papr::platform::{DeviceMemory, Ultravisor};
use papr::ultracall::{Ultracall, UvStatus};
use thiserror::Error;

/// Most calls while the ultravisor answers that it is busy.
pub const MOST_CALLS: u32 = 16;

/// Longest time spent on retries.
pub const LONGEST_WAIT: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Most frames of one call: the ultravisor's loop counts pages in a C `int`.
pub(super) const LONGEST_RUN: u64 = (1 << 31) - 1;

/// Bytes looked at or written at once.
const CHUNK: usize = 4096;

/// Memory that both this guest and the host use: whole frames, verified to be shared, zeroed.
#[derive(Debug)]
pub struct SharedPool<M> {
    memory: M,
    frames: u32,
    ultracalls: u32,
}

impl<M: DeviceMemory> SharedPool<M> {
    /// The shared memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// The guest physical addresses of the shared frames.
    #[must_use]
    pub fn range(&self) -> GpaRange {
        GpaRange { start: self.memory.gpa(), len: self.memory.len() as u64 }
    }

    /// Number of frames.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Ultracalls that sharing took.
    #[must_use]
    pub fn ultracalls(&self) -> u32 {
        self.ultracalls
    }
}

/// A range in doubt. It can be named and has no other use.
#[derive(Debug)]
pub struct Quarantined<M> {
    memory: M,
}

impl<M: DeviceMemory> Quarantined<M> {
    /// The guest physical addresses of the range.
    #[must_use]
    pub fn range(&self) -> GpaRange {
        GpaRange { start: self.memory.gpa(), len: self.memory.len() as u64 }
    }
}

/// Why a range did not become a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShareError {
    /// The range does not start at a multiple of 64 KiB.
    #[error("pool at {:#x} is not aligned to 64 KiB", .0.0)]
    Misaligned(Gpa),
    /// The length, in bytes, is zero or not a multiple of 64 KiB.
    #[error("pool of {0} bytes is not whole 64 KiB frames")]
    NotWholeFrames(usize),
    /// The range wraps around or has more frames than one call can name.
    #[error("pool of {0} bytes is too long to share")]
    TooLong(usize),
    /// The range is not inside any memory of this guest.
    #[error("pool {:#x}+{:#x} is not inside memory", .0.start.0, .0.len)]
    OutsideMemory(GpaRange),
    /// The device memory that was made of the frames lies elsewhere.
    #[error("device memory at {:#x}+{:#x} is not the pool's frames", .0.start.0, .0.len)]
    OtherMemory(GpaRange),
    /// U_FUNCTION: there is no ultravisor, although this guest believes that it is secure.
    #[error("UV_SHARE_PAGE: U_FUNCTION: no ultravisor answers, yet this guest was told it is secure")]
    NoUltravisor,
    /// U_PERMISSION: the ultravisor says that this guest is not secure.
    #[error("UV_SHARE_PAGE: U_PERMISSION: the ultravisor does not hold this guest to be secure")]
    NotSecure,
    /// Still busy after that many calls.
    #[error("UV_SHARE_PAGE: still {0} after {1} calls")]
    StillBusy(UvStatus, u32),
    /// Any other error by its name.
    #[error("UV_SHARE_PAGE: {0}")]
    Refused(UvStatus),
    /// No error was reported, but this guest's pattern is still in the frame: it was not shared.
    #[error("UV_SHARE_PAGE reported no error but did not share frame {:#x}", .0.0)]
    PatternIntact(Gfn),
    /// No error was reported, and the frame holds neither zeros nor the pattern at this offset.
    #[error("UV_SHARE_PAGE left frame {:#x} not zeroed at {:#x}", .0.0, .1)]
    NotZeroed(Gfn, usize),
}

impl ShareError {
    /// Whether another range may succeed. None can if guest and ultravisor disagree about whether the guest is secure.
    #[must_use]
    pub const fn another_range_may_do(&self) -> bool {
        !matches!(self, Self::NoUltravisor | Self::NotSecure)
    }
}

/// A range that could not be shared.
#[derive(Debug)]
pub struct ShareFailure<M> {
    /// Why the range could not be shared.
    pub error: ShareError,
    /// The range, if an ultracall was made for it.
    pub quarantined: Option<Quarantined<M>>,
    /// Number of ultracalls made.
    pub ultracalls: u32,
}

impl<M: DeviceMemory> fmt::Display for ShareFailure<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        if let Some(range) = self.quarantined.as_ref().map(Quarantined::range) {
            write!(f, "; {:#x}+{:#x} is quarantined", range.start.0, range.len)?;
        }
        Ok(())
    }
}

/// Shares `frames` with one UV_SHARE_PAGE and verifies every byte of them, through the device memory that `memory`
/// makes of them. The frames are consumed: they become the pool, or nobody uses them again. `ram` is this guest's
/// memory. The pool is not cleared again after it read as zeros: that would not stop the host from writing there a
/// moment later, and would cost a third pass over all pages.
///
/// # Errors
/// The range was unfit and no call was made; or the share failed or is in doubt, and the range is quarantined.
pub fn share_pool<M: DeviceMemory>(
    uv: &impl Ultravisor,
    clock: &impl Clock,
    frames: OwnedFrames,
    ram: &[GpaRange],
    memory: impl FnOnce(OwnedFrames) -> M,
) -> Result<SharedPool<M>, ShareFailure<M>> {
    let unfit = |error| ShareFailure { error, quarantined: None, ultracalls: 0 };
    let range = frames.range();
    let count = fit(range, ram).map_err(unfit)?;
    let memory = memory(frames);
    let made = GpaRange { start: memory.gpa(), len: memory.len() as u64 };
    if made != range {
        return Err(unfit(ShareError::OtherMemory(made)));
    }
    fill_with_pattern(&memory);
    let first = Gfn::from(range.start);
    // SAFETY: the frames had one owner, who gave them away, and no reference to them exists: all that is left of them is
    // `memory`, which names them and nothing else.
    #[allow(unsafe_code, reason = "a share zeroes the frames it names")]
    let (ultracalls, answer) = unsafe { call_until_settled(uv, clock, Ultracall::SharePage, first, count) };
    if let Err(error) = answer.and_then(|()| verify_zeros(&memory)) {
        return Err(ShareFailure { error, quarantined: Some(Quarantined { memory }), ultracalls });
    }
    Ok(SharedPool { memory, frames: count, ultracalls })
}

/// The number of frames, when the range is one that can be shared.
fn fit(range: GpaRange, ram: &[GpaRange]) -> Result<u32, ShareError> {
    let GpaRange { start, len } = range;
    let len = usize::try_from(len).map_err(|_| ShareError::TooLong(usize::MAX))?;
    if !start.0.is_multiple_of(FRAME_SIZE as u64) {
        return Err(ShareError::Misaligned(start));
    }
    if len == 0 || !len.is_multiple_of(FRAME_SIZE) {
        return Err(ShareError::NotWholeFrames(len));
    }
    let frames = (len / FRAME_SIZE) as u64;
    let range = GpaRange::new(start, len as u64).ok_or(ShareError::TooLong(len))?;
    if frames > LONGEST_RUN {
        return Err(ShareError::TooLong(len));
    }
    if !ram.iter().any(|piece| piece.contains(range.start, range.len)) {
        return Err(ShareError::OutsideMemory(range));
    }
    u32::try_from(frames).map_err(|_| ShareError::TooLong(len))
}

/// Makes one ultracall, and repeats it within bounds while the ultravisor is busy. Returns the number of calls and the
/// last answer.
///
/// # Safety
/// The call may zero the frames: the caller owns them, and no reference to their bytes exists.
#[allow(unsafe_code, reason = "a share zeroes the frames it names")]
pub(super) unsafe fn call_until_settled(
    uv: &impl Ultravisor,
    clock: &impl Clock,
    call: Ultracall,
    first: Gfn,
    frames: u32,
) -> (u32, Result<(), ShareError>) {
    let mut whole = Deadline::after(clock, LONGEST_WAIT);
    let mut pause = FIRST_PAUSE;
    let mut calls = 0u32;
    loop {
        calls = calls.saturating_add(1);
        // SAFETY: as the caller promises.
        let r3 = unsafe { uv.ultracall(call, [first.0, u64::from(frames)]) };
        let status = UvStatus::of(call, r3);
        let answer = match status {
            UvStatus::Function => Err(ShareError::NoUltravisor),
            UvStatus::Permission => Err(ShareError::NotSecure),
            done if done.reports_no_error() => Ok(()),
            busy if busy.may_be_retried() => {
                if calls < MOST_CALLS && !whole.expired(clock) {
                    let mut rest = Deadline::after(clock, pause);
                    while !rest.expired(clock) {}
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    continue;
                }
                Err(ShareError::StillBusy(busy, calls))
            }
            refused => Err(ShareError::Refused(refused)),
        };
        return (calls, answer);
    }
}

/// The content of a chunk before it is shared. It has no zero byte, so a byte that was not zeroed is found.
struct Pattern([u8; CHUNK]);

impl Pattern {
    fn new() -> Self {
        Self([0xa5; CHUNK])
    }

    /// The chunk at `offset`, whose number is in its first bytes.
    fn of(&mut self, offset: usize) -> &[u8; CHUNK] {
        let number = (offset / CHUNK) as u64;
        for (byte, bits) in self.0.iter_mut().zip((0..64u32).step_by(4)) {
            *byte = 0x50 | (number.wrapping_shr(bits) & 0xf) as u8;
        }
        &self.0
    }
}

fn fill_with_pattern(memory: &impl DeviceMemory) {
    let mut pattern = Pattern::new();
    for offset in (0..memory.len()).step_by(CHUNK) {
        memory.write(offset, pattern.of(offset));
    }
}

fn verify_zeros(memory: &impl DeviceMemory) -> Result<(), ShareError> {
    let mut chunk = [0; CHUNK];
    for offset in (0..memory.len()).step_by(CHUNK) {
        memory.read(offset, &mut chunk);
        if is_zero(&chunk) {
            continue;
        }
        let gfn = Gfn::from(Gpa(memory.gpa().0.saturating_add(offset as u64)));
        let intact = chunk == *Pattern::new().of(offset);
        let first = chunk.iter().position(|byte| *byte != 0).unwrap_or_default();
        return Err(if intact {
            ShareError::PatternIntact(gfn)
        } else {
            ShareError::NotZeroed(gfn, offset.saturating_add(first) % FRAME_SIZE)
        });
    }
    Ok(())
}

/// Whether a chunk holds zeros alone. It compares doublewords of a cache block: byte by byte, this took four fifths of
/// the time of sharing.
fn is_zero(chunk: &[u8; CHUNK]) -> bool {
    let (blocks, _) = chunk.as_chunks::<128>();
    blocks.iter().all(|block| {
        let (words, _) = block.as_chunks();
        words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word)) == 0
    })
}
