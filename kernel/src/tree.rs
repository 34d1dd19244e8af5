//! The device tree, once: copied into private memory, guarded, read into a machine description, dropped.

use crate::memory::layout;
use crate::stop::Stop;
use papr::addr::{Gpa, GpaRange};
use pseries_tree::guard::{HEADER_LEN, claimed_size, copy_from};
use pseries_tree::{FdtError, Machine, Tree};
use svm_dma::memory_map::Own;

/// Below lie the exception vectors, never a tree.
const LOWEST: usize = 0x4000;

/// Reads the tree at guest physical address `at`; the machine, and what the kernel occupies. The copy lies in the early
/// heap, which is part of the image: the map holds the image against every other owner.
///
/// # Errors
/// What is wrong with the tree, or with the machine that it describes; the tree lies over the image.
///
/// # Safety
/// Translation is off, so that no load faults, and no other CPU of this kernel runs. The bytes are no stack's that is in
/// use; the boot stage has looked.
pub unsafe fn read(at: usize) -> Result<(Machine, Own), Stop> {
    if at < LOWEST {
        return Err(Stop::Tree(FdtError::Truncated { have: 0, need: HEADER_LEN }));
    }
    let mut header = [0; HEADER_LEN];
    // SAFETY: as the caller promises.
    let copy = |offset, out: &mut [u8]| unsafe { copy_out(at.wrapping_add(offset), out) };
    copy(0, &mut header);
    let claimed = claimed_size(&header)?;
    let tree = GpaRange { start: Gpa(at as u64), len: claimed as u64 };
    let own = Own { image: layout::image(), tree_buffer: layout::tree_buffer(), tree };
    own.tree_is_apart()?;
    let blob = copy_from(copy)?;
    let machine = Machine::read(&Tree::check(&blob)?)?;
    Ok((machine, own))
}

/// Copies from where firmware left the tree; a host could still be writing there.
///
/// # Safety
/// As for [`read`].
unsafe fn copy_out(at: usize, out: &mut [u8]) {
    for (offset, byte) in out.iter_mut().enumerate() {
        // SAFETY: one byte, as a number, by a volatile load that does not fault, as the caller promises. What is no
        // memory reads as nothing that the guard would accept, and nobody writes to a byte of this kernel meanwhile.
        *byte = unsafe { ((at.wrapping_add(offset)) as *const u8).read_volatile() };
    }
}
