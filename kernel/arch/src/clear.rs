//! Memory cleared a cache block at a time.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes that `dcbz` clears where it is used: the cache block of POWER8 and later.
pub(crate) const BLOCK: usize = 128;
/// Whether it is used.
static BY_BLOCKS: AtomicBool = AtomicBool::new(false);

/// From now on memory is cleared a cache block at a time.
///
/// # Safety
/// `dcbz` clears 128 bytes on every processor of this machine.
pub unsafe fn clear_by_blocks() {
    BY_BLOCKS.store(true, Ordering::Relaxed);
}

/// Whether that is so.
#[inline]
pub(crate) fn clears_by_blocks() -> bool {
    BY_BLOCKS.load(Ordering::Relaxed)
}

/// How many bytes one `dcbz` clears here.
#[must_use]
pub fn cleared_by_one() -> usize {
    /// More than any processor clears at once, on both sides of the middle.
    #[repr(align(1024))]
    struct Full([u8; 2048]);
    let mut full = Full([0xff; 2048]);
    let at = full.0.as_mut_ptr();
    // SAFETY: the block that holds the middle lies inside the buffer, which is aligned to more than its length; the
    // compiler is told that memory changes.
    unsafe { asm!("dcbz 0, {}", in(reg) at.wrapping_add(1024), options(nostack, preserves_flags)) };
    full.0.iter().filter(|byte| **byte == 0).count()
}

/// Writes zeros, whole cache blocks with one instruction each.
///
/// # Safety
/// `to` is writable for `len` bytes of RAM that is cached.
#[inline]
pub unsafe fn zero(to: *mut u8, len: usize) {
    if !clears_by_blocks() {
        // SAFETY: as the caller promises.
        unsafe { store(to, 0, len) };
        return;
    }
    let head = (to as usize).wrapping_neg() % BLOCK;
    let head = head.min(len);
    let rest = len.wrapping_sub(head);
    let (blocks, tail) = (rest / BLOCK, rest % BLOCK);
    // SAFETY: head, blocks and tail are `len` bytes together, and the blocks begin at a boundary.
    unsafe {
        store(to, 0, head);
        let middle = to.add(head);
        if blocks > 0 {
            asm!(
                "mtctr {n}",
                "1: dcbz 0, {at}",
                "addi {at}, {at}, {block}",
                "bdnz 1b",
                n = in(reg) blocks,
                at = inout(reg_nonzero) middle => _,
                block = const BLOCK,
                out("ctr") _,
                options(nostack, preserves_flags),
            );
        }
        store(middle.add(rest.wrapping_sub(tail)), 0, tail);
    }
}

/// Writes `byte` everywhere, zeros as [`zero`] does.
///
/// # Safety
/// As for [`zero`].
#[inline]
pub unsafe fn set(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        match byte {
            0 => zero(to, len),
            _ => store(to, u64::from_ne_bytes([byte; 8]), len),
        }
    }
}

/// Writes a word whose bytes are all the same: doublewords, then bytes.
unsafe fn store(to: *mut u8, word: u64, len: usize) {
    // SAFETY: as for `zero`; `to` need not be aligned, hence asm.
    unsafe {
        let mut at = to;
        for _ in 0..len / 8 {
            asm!("std {0}, 0({1})", in(reg) word, in(reg_nonzero) at, options(nostack, preserves_flags));
            at = at.add(8);
        }
        for _ in 0..len % 8 {
            asm!("stb {0}, 0({1})", in(reg) word, in(reg_nonzero) at, options(nostack, preserves_flags));
            at = at.add(1);
        }
    }
}
