//! Clears and fills memory, by whole cache blocks (`dcbz`) where that is known to work.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes that one `dcbz` must clear for it to be used: the cache block of POWER8 and later.
pub(crate) const BLOCK: usize = 128;
/// Cache blocks per iteration of the longer loop.
const TURN: usize = 4;
/// Whether `dcbz` is used to clear memory.
static BY_BLOCKS: AtomicBool = AtomicBool::new(false);

/// Makes [`zero`] and [`set`] clear whole cache blocks from now on.
///
/// # Safety
/// `dcbz` clears 128 bytes on every processor of this machine.
pub unsafe fn clear_by_blocks() {
    BY_BLOCKS.store(true, Ordering::Relaxed);
}

/// Whether memory is cleared by `dcbz`.
#[inline]
pub(crate) fn clears_by_blocks() -> bool {
    BY_BLOCKS.load(Ordering::Relaxed)
}

/// Measures how many bytes one `dcbz` clears on this CPU.
#[must_use]
pub fn cleared_by_one() -> usize {
    /// Larger than the cache block of any processor, on both sides of the middle.
    #[repr(align(1024))]
    struct Full([u8; 2048]);
    let mut full = Full([0xff; 2048]);
    let at = full.0.as_mut_ptr();
    // SAFETY: the cache block of the buffer's middle lies inside the buffer. The asm is not `nomem`, so the compiler
    // knows that memory changes.
    unsafe { asm!("dcbz 0, {}", in(reg) at.wrapping_add(1024), options(nostack, preserves_flags)) };
    full.0.iter().filter(|byte| **byte == 0).count()
}

/// Writes zeros; whole cache blocks with one instruction each, after [`clear_by_blocks`].
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
    let head = ((to as usize).wrapping_neg() % BLOCK).min(len);
    let rest = len.wrapping_sub(head);
    let (blocks, tail) = (rest / BLOCK, rest % BLOCK);
    if blocks == 0 {
        // SAFETY: as the caller promises.
        unsafe { store(to, 0, len) };
        return;
    }
    let (turns, single) = (blocks / TURN, blocks % TURN);
    // SAFETY: head, blocks and tail are `len` bytes together, and the blocks begin at a boundary. CTR is named.
    unsafe {
        if head > 0 {
            store(to, 0, head);
        }
        let mut at = to.add(head);
        if turns > 0 {
            asm!(
                "mtctr {n}",
                "1: dcbz 0, {at}",
                "dcbz {second}, {at}",
                "dcbz {third}, {at}",
                "dcbz {fourth}, {at}",
                "addi {at}, {at}, {bytes}",
                "bdnz 1b",
                n = in(reg) turns,
                at = inout(reg_nonzero) at,
                second = in(reg_nonzero) BLOCK,
                third = in(reg_nonzero) 2 * BLOCK,
                fourth = in(reg_nonzero) 3 * BLOCK,
                bytes = const TURN * BLOCK,
                out("ctr") _,
                options(nostack, preserves_flags),
            );
        }
        if single > 0 {
            asm!(
                "mtctr {n}",
                "1: dcbz 0, {at}",
                "addi {at}, {at}, {block}",
                "bdnz 1b",
                n = in(reg) single,
                at = inout(reg_nonzero) at => _,
                block = const BLOCK,
                out("ctr") _,
                options(nostack, preserves_flags),
            );
        }
        if tail > 0 {
            store(to.add(len.wrapping_sub(tail)), 0, tail);
        }
    }
}

/// Fills `len` bytes with `byte`; zeros as [`zero`] does.
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

/// Fills `len` bytes with `word`, whose bytes are all the same: ten instructions for 64 bytes, then 32, 16, 8, 4, 2 and
/// 1 byte as the rest needs.
///
/// # Safety
/// As for [`zero`]; `to` need not be aligned.
#[inline(never)]
unsafe fn store(to: *mut u8, word: u64, len: usize) {
    // SAFETY: the caller promises the range. The loop runs len / 64 times. CR6 and CR7 hold the lower eight bits of `len`;
    // the lower six of them say which pieces the rest has. CTR and the fields of CR are declared as clobbered.
    unsafe {
        asm!(
            "srdi. {n}, {len}, 6",
            "mtocrf 0x02, {len}",
            "mtocrf 0x01, {len}",
            "beq 2f",
            "mtctr {n}",
            "1:",
            "std {word}, 0({to})", "std {word}, 8({to})", "std {word}, 16({to})", "std {word}, 24({to})",
            "std {word}, 32({to})", "std {word}, 40({to})", "std {word}, 48({to})", "std {word}, 56({to})",
            "addi {to}, {to}, 64",
            "bdnz 1b",
            "2: bf 26, 3f",
            "std {word}, 0({to})", "std {word}, 8({to})", "std {word}, 16({to})", "std {word}, 24({to})",
            "addi {to}, {to}, 32",
            "3: bf 27, 4f",
            "std {word}, 0({to})", "std {word}, 8({to})",
            "addi {to}, {to}, 16",
            "4: bf 28, 5f",
            "std {word}, 0({to})",
            "addi {to}, {to}, 8",
            "5: bf 29, 6f",
            "stw {word}, 0({to})",
            "addi {to}, {to}, 4",
            "6: bf 30, 7f",
            "sth {word}, 0({to})",
            "addi {to}, {to}, 2",
            "7: bf 31, 8f",
            "stb {word}, 0({to})",
            "8:",
            len = in(reg) len,
            to = inout(reg_nonzero) to => _,
            word = in(reg) word,
            n = out(reg) _,
            out("ctr") _, out("cr0") _, out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
}
