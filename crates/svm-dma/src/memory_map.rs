//! Who owns which memory. Every range in use is entered here, and all memory is taken from here, so that no two owners
//! have a frame in common.
//!
//! Ranges count in whole 64 KiB frames, because the ultravisor shares whole frames. Ranges that firmware and hypervisor
//! describe (reservations, RTAS, initrd, tree) may overlap each other, as QEMU's and SLOF's trees do. None of them may
//! overlap the kernel's own.

mod claim;
pub mod frames;
mod own;
mod owned;

pub use claim::{Claim, Kind, MapError};
pub use frames::Frames;
pub use own::Own;
pub use owned::OwnedFrames;
pub use papr::described::Described;

use alloc::vec::Vec;
use papr::addr::{FRAME_SIZE, Gpa, GpaRange};

const FRAME: u64 = FRAME_SIZE as u64;
/// Pool and first heap lie below, as a host bridge's narrow window may want them; the heap grows beyond. The
/// image lies below, because start-cpu, RTAS and the handlers' addresses have 32 bits.
const HIGH_END: u64 = 1 << 32;

/// The frame of the exception vectors.
const FIRST_FRAME: GpaRange = GpaRange { start: Gpa(0), len: FRAME };

/// The owners of a machine's memory.
#[derive(Debug, PartialEq, Eq)]
pub struct MemoryMap {
    memory: Vec<GpaRange>,
    claims: Vec<Claim>,
    rtas: Option<GpaRange>,
}

impl MemoryMap {
    /// Enters what is in use before any memory is taken. In secure mode the only reservation that may lie over the
    /// image is the one that names exactly the image.
    ///
    /// # Errors
    /// The image is not where it can run, or two ranges overlap that must not.
    ///
    /// # Safety
    /// This is the machine's only map. `described` is what its tree says, and Rust code uses no memory yet but what
    /// `own` names. The map gives out the rest of memory, and treats all addresses outside of memory as possible
    /// registers.
    #[allow(unsafe_code, reason = "only the caller knows that there is no other map")]
    pub unsafe fn new(described: &Described, own: &Own, secure: bool) -> Result<Self, MapError> {
        let mut map = Self { memory: described.memory.clone(), claims: Vec::new(), rtas: described.rtas };
        map.enter_in_memory(Kind::FirstFrame, FIRST_FRAME)?;
        map.enter_in_memory(Kind::Image, own.image)?;
        if own.image.end().0 > HIGH_END {
            return Err(MapError::ImageTooHigh(own.image));
        }
        for (start, len) in &described.windows {
            let range = GpaRange::new(*start, *len).ok_or(MapError::Wraps(*start))?;
            if let Some(memory) = map.memory.iter().find(|memory| memory.overlaps(&range)) {
                return Err(MapError::WindowOverMemory { window: range, memory: *memory });
            }
            map.enter(Kind::Window, range)?;
        }
        for range in described.reserved.iter().filter(|range| !own.is_noted_by(range, secure)) {
            map.enter(Kind::Reservation, *range)?;
        }
        if let Some(range) = described.rtas {
            // The ultravisor keeps the area's size rounded up, counted from its first byte.
            let len = range.len.checked_next_multiple_of(FRAME).ok_or(MapError::Wraps(range.start))?;
            map.enter(Kind::Rtas, GpaRange { start: range.start, len })?;
        }
        if let Some(range) = described.initrd {
            map.enter(Kind::Initrd, range)?;
        }
        if !own.tree_buffer.contains(own.tree.start, own.tree.len) {
            map.enter(Kind::Tree, own.tree)?;
        }
        Ok(map)
    }

    /// Takes the lowest free memory below 4 GiB, in whole frames.
    ///
    /// # Errors
    /// The size is 0 or wraps, or there is no room.
    pub fn take(&mut self, kind: Kind, len: u64) -> Result<OwnedFrames, MapError> {
        let size = len.checked_next_multiple_of(FRAME).filter(|size| *size > 0);
        let size = size.ok_or(MapError::Size { kind, len })?;
        let mut longest = 0;
        for free in self.free(HIGH_END) {
            if free.len >= size {
                let range = GpaRange { start: free.start, len: size };
                self.enter(kind, range)?;
                return Ok(OwnedFrames::of_map(range));
            }
            longest = free.len.max(longest);
        }
        Err(MapError::NoRoom { kind, len, longest })
    }

    /// Takes all that is left, for the heap to grow into.
    ///
    /// # Errors
    /// None is expected: the memory is free.
    pub fn take_rest(&mut self) -> Result<Frames, MapError> {
        let free = self.free(u64::MAX);
        for range in &free {
            self.enter(Kind::Heap, *range)?;
        }
        Ok(Frames::new(free))
    }

    /// Keeps memory that was taken out of every use: its state is in doubt.
    pub fn quarantine(&mut self, range: GpaRange) {
        for claim in self.claims.iter_mut().filter(|claim| claim.range.overlaps(&range)) {
            if matches!(claim.kind, Kind::Pool | Kind::Heap) {
                claim.kind = Kind::Quarantine;
            }
        }
    }

    /// All memory of the machine, by ascending address.
    #[must_use]
    pub fn memory(&self) -> &[GpaRange] {
        &self.memory
    }

    /// Every claim, in the order of entry.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The pool, once it was taken.
    #[must_use]
    pub fn pool(&self) -> Option<GpaRange> {
        self.claims.iter().find(|claim| claim.kind == Kind::Pool).map(|claim| claim.range)
    }

    /// The RTAS area as the tree has it. It overlaps nothing of the kernel's.
    #[must_use]
    pub fn rtas(&self) -> Option<GpaRange> {
        self.rtas
    }

    /// What must not be mapped: the first frame, what the kernel does not own, and what is quarantined.
    pub fn untouchable(&self) -> impl Iterator<Item = GpaRange> + '_ {
        let ours = |kind| matches!(kind, Kind::Image | Kind::Pool | Kind::Heap);
        self.claims.iter().filter(move |claim| !ours(claim.kind)).map(|claim| claim.range)
    }

    /// Enters a range that one region of memory must hold.
    fn enter_in_memory(&mut self, kind: Kind, range: GpaRange) -> Result<(), MapError> {
        if !self.memory.iter().any(|region| region.contains(range.start, range.len)) {
            return Err(MapError::OutsideMemory(Claim { kind, range }));
        }
        self.enter(kind, range)
    }

    /// Enters a range, rounded out to whole frames.
    fn enter(&mut self, kind: Kind, range: GpaRange) -> Result<(), MapError> {
        if range.len == 0 {
            return Ok(());
        }
        let claim = Claim { kind, range: whole_frames(range) };
        match self.claims.iter().find(|other| other.excludes(&claim)) {
            Some(other) => Err(MapError::Overlap { claim, other: *other }),
            None => {
                self.claims.push(claim);
                Ok(())
            }
        }
    }

    /// Stretches of whole frames below `limit` that are memory and nobody's, lowest first.
    fn free(&self, limit: u64) -> Vec<GpaRange> {
        let mut taken: Vec<GpaRange> = self.claims.iter().map(|claim| claim.range).collect();
        taken.sort_unstable_by_key(|range| range.start);
        let mut free = Vec::new();
        for region in &self.memory {
            let mut from = region.start.0;
            let end = region.end().0.min(limit);
            for range in &taken {
                push(&mut free, from, range.start.0.min(end));
                from = from.max(range.end().0);
            }
            push(&mut free, from, end);
        }
        free
    }
}

/// The frames that hold a byte of `range`. The end stops at the last address.
#[must_use]
pub const fn whole_frames(range: GpaRange) -> GpaRange {
    let start = range.start.0 & !FRAME.wrapping_sub(1);
    let end = range.start.0.saturating_add(range.len);
    let end = match end.checked_next_multiple_of(FRAME) {
        Some(end) => end,
        None => u64::MAX,
    };
    GpaRange { start: Gpa(start), len: end.saturating_sub(start) }
}

/// The whole frames from `from` to `end`, if there are any.
fn push(free: &mut Vec<GpaRange>, from: u64, end: u64) {
    let Some(start) = from.checked_next_multiple_of(FRAME) else { return };
    let len = end.saturating_sub(start) & !FRAME.wrapping_sub(1);
    if len > 0 {
        free.push(GpaRange { start: Gpa(start), len });
    }
}
