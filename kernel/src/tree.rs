//! Reads the device tree once: copies it into private memory, checks it, and makes a machine description of it.

use crate::memory::layout;
use crate::stop::Stop;
use papr::addr::{Gpa, GpaRange};
use pseries_tree::guard::{HEADER_LEN, claimed_size, copy_from};
use pseries_tree::{FdtError, Machine, Tree};
use svm_dma::memory_map::Own;

/// A tree lies at this address or above; the exception vectors are below.
const LOWEST: usize = 0x4000;

/// Reads the tree at guest physical address `at`; the machine, and what the kernel occupies. The copy lies in the early
/// heap, which is part of the image: the map checks the image against every other owner.
///
/// # Errors
/// The tree, or the machine that it describes, has a fault; or the tree overlaps the image.
///
/// # Safety
/// Translation is off, so that no load faults, and no other CPU of this kernel runs. The tree lies in no stack that is in
/// use; the boot stage has checked that.
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
        // SAFETY: a volatile load of one byte, which does not fault, as the caller promises. An address without memory
        // reads as bytes that the guard refuses, and no code of this kernel writes there meanwhile.
        *byte = unsafe { ((at.wrapping_add(offset)) as *const u8).read_volatile() };
    }
}
