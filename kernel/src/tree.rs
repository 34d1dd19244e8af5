//! The device tree, once: copied into private memory, guarded, read into a machine description, dropped.

use crate::memory::heap;
use crate::stop::Stop;
use postern_core::addr::{Gpa, GpaRange};
use postern_core::fdt::guard::{HEADER_LEN, claimed_size, copy_from};
use postern_core::fdt::{FdtError, Machine, Tree};

/// Below lie the exception vectors, never a tree.
const LOWEST: usize = 0x4000;
/// Most bytes of a tree: half of the early heap, the only one there is before the tree has been read.
const MOST: usize = heap::EARLY_SIZE / 2;

/// Reads the tree at guest physical address `at`; the machine, and where the tree lies.
///
/// # Errors
/// What is wrong with the tree, or with the machine that it describes.
pub fn read(at: usize) -> Result<(Machine, GpaRange), Stop> {
    if at < LOWEST {
        return Err(Stop::Tree(FdtError::Truncated { have: 0, need: HEADER_LEN }));
    }
    let mut header = [0; HEADER_LEN];
    copy_out(at, &mut header);
    let claimed = claimed_size(&header)?;
    let blob = copy_from(MOST, |offset, out| copy_out(at.wrapping_add(offset), out))?;
    let machine = Machine::read(&Tree::check(&blob)?)?;
    Ok((machine, GpaRange { start: Gpa(at as u64), len: claimed as u64 }))
}

/// Copies from where firmware left the tree; a host could still be writing there.
fn copy_out(at: usize, out: &mut [u8]) {
    for (offset, byte) in out.iter_mut().enumerate() {
        // SAFETY: reading one byte of guest memory, as a number; real mode has no address that faults on a
        // load, and an address that is no memory reads as nothing that the guard would accept.
        *byte = unsafe { ((at.wrapping_add(offset)) as *const u8).read_volatile() };
    }
}
