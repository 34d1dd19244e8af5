//! Where the private heap and the shared pool lie.

use super::frames::Frames;
use super::machine::Machine;
use crate::addr::{FRAME_SIZE, Gpa, GpaRange};
use alloc::vec::Vec;
use core::fmt;

const FRAME: u64 = FRAME_SIZE as u64;

/// Nothing is placed below: exception vectors up to 0x3000, relocated ones up to 0x5000.
const LOW_END: u64 = 0x1_0000;
/// Heap and pool are placed below, as a host bridge's narrow window may want them; the heap grows beyond.
const HIGH_END: u64 = 1 << 32;

/// Which piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The loaded image, with its stack and its early heap.
    Image,
    /// The private heap.
    Heap,
    /// The shared pool.
    Pool,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Heap => "heap",
            Self::Pool => "pool",
        })
    }
}

/// Why no placement is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementError {
    /// The image is not inside one region of memory.
    ImageOutsideMemory(GpaRange),
    /// A size of 0, or of so much that it wraps when rounded to 64 KiB.
    Size {
        /// Of what.
        piece: Piece,
        /// Bytes.
        len: u64,
    },
    /// No free stretch of memory is long enough.
    NoRoom {
        /// For what.
        piece: Piece,
        /// Bytes wanted.
        len: u64,
        /// Bytes of the longest stretch.
        longest: u64,
    },
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImageOutsideMemory(image) => {
                write!(f, "image at {:#x}+{:#x} is not inside one region of memory", image.start.0, image.len)
            }
            Self::Size { piece, len } => write!(f, "{piece} of {len:#x} bytes"),
            Self::NoRoom { piece, len, longest } => {
                write!(f, "no room for a {piece} of {len:#x} bytes; the longest free stretch is {longest:#x}")
            }
        }
    }
}

/// What there is already, and what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The loaded image, with its stack and its early heap.
    pub image: GpaRange,
    /// The tree that was handed over.
    pub tree: GpaRange,
    /// Bytes of private heap.
    pub heap: u64,
    /// Bytes of shared pool; none in normal mode.
    pub pool: Option<u64>,
}

/// Where things lie: 64 KiB frames of their own, in free memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The private heap.
    pub heap: GpaRange,
    /// The shared pool.
    pub pool: Option<GpaRange>,
}

/// Chooses the lowest free memory, first for the pool, then for the heap.
///
/// # Errors
/// The image is not where memory is, or there is no room.
pub fn place(machine: &Machine, wanted: &Wanted) -> Result<Placement, PlacementError> {
    if !machine.memory.iter().any(|region| region.contains(wanted.image.start, wanted.image.len)) {
        return Err(PlacementError::ImageOutsideMemory(wanted.image));
    }
    let mut taken: Vec<GpaRange> = machine.taken().chain([wanted.image, wanted.tree]).collect();
    let pool = wanted.pool.map(|len| claim(machine, &mut taken, Piece::Pool, len)).transpose()?;
    let heap = claim(machine, &mut taken, Piece::Heap, wanted.heap)?;
    Ok(Placement { heap, pool })
}

fn claim(
    machine: &Machine,
    taken: &mut Vec<GpaRange>,
    piece: Piece,
    len: u64,
) -> Result<GpaRange, PlacementError> {
    let size = len.checked_next_multiple_of(FRAME).filter(|size| *size > 0);
    let size = size.ok_or(PlacementError::Size { piece, len })?;
    let mut longest = 0;
    for free in free(&machine.memory, taken, HIGH_END) {
        if free.len >= size {
            let range = GpaRange { start: free.start, len: size };
            taken.push(range);
            return Ok(range);
        }
        longest = free.len.max(longest);
    }
    Err(PlacementError::NoRoom { piece, len, longest })
}

/// What is left for the heap to grow into.
#[must_use]
pub fn left(machine: &Machine, wanted: &Wanted, placement: &Placement) -> Frames {
    let placed = [Some(wanted.image), Some(wanted.tree), Some(placement.heap), placement.pool];
    let taken: Vec<GpaRange> = machine.taken().chain(placed.into_iter().flatten()).collect();
    Frames::new(free(&machine.memory, &taken, u64::MAX))
}

/// Stretches of whole frames below `limit` that are memory and not taken, lowest first.
fn free(memory: &[GpaRange], taken: &[GpaRange], limit: u64) -> Vec<GpaRange> {
    let mut taken = taken.to_vec();
    taken.sort_unstable_by_key(|range| range.start);
    let mut free = Vec::new();
    for region in memory {
        let mut from = region.start.0.max(LOW_END);
        let end = region.end().0.min(limit);
        for range in taken.iter().filter(|range| range.len > 0) {
            push(&mut free, from, range.start.0.min(end));
            from = from.max(range.end().0);
        }
        push(&mut free, from, end);
    }
    free
}

/// The whole frames from `from` to `end`, if there are any.
fn push(free: &mut Vec<GpaRange>, from: u64, end: u64) {
    let Some(start) = from.checked_next_multiple_of(FRAME) else { return };
    let len = end.saturating_sub(start) & !FRAME.wrapping_sub(1);
    if len > 0 {
        free.push(GpaRange { start: Gpa(start), len });
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]
mod tests;
