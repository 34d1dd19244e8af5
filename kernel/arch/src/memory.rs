//! Barriers, instruction cache maintenance, and the word of low memory that says who prints the last line.

use core::arch::asm;

/// Orders everything before it before everything after it, device registers included (Power ISA 3.0B,
/// book II 4.6.3).
#[inline]
pub fn sync() {
    // SAFETY: a barrier changes no state.
    unsafe { asm!("sync", options(nostack, preserves_flags)) };
}

/// Orders loads and stores to memory, all pairs but store before load.
#[inline]
pub fn lwsync() {
    // SAFETY: a barrier changes no state.
    unsafe { asm!("lwsync", options(nostack, preserves_flags)) };
}

/// Orders accesses to device registers among themselves.
#[inline]
pub fn eieio() {
    // SAFETY: a barrier changes no state.
    unsafe { asm!("eieio", options(nostack, preserves_flags)) };
}

/// `LAST_LINE_WORD` of `boot/src/vectors.S`: 0 until somebody prints the last line of the run. `halt` leaves 1 there.
const LAST_LINE_WORD: usize = 0x27e8;
const KERNEL: u64 = 2;

/// Claims the last line of the run for the kernel. Returns false if `halt` (`boot/src/vectors.S`) has claimed it; true
/// again if the kernel has it already.
#[must_use]
pub fn claim_last_line() -> bool {
    let before: u64;
    // SAFETY: the word is in the vectors' page, which is RAM at real address 0, and only this and `halt` use it. It is
    // not mapped, so MSR[DR] is off during the access; MSR is restored afterwards.
    unsafe {
        asm!(
            "mfmsr {old}",
            "rldicl {real}, {old}, 59, 1",
            "rotldi {real}, {real}, 5",
            "mtmsrd {real}",
            "isync",
            "1: ldarx {before}, 0, {word}",
            "cmpldi {before}, 0",
            "bne 2f",
            "stdcx. {kernel}, 0, {word}",
            "bne- 1b",
            "2: mtmsrd {old}",
            "isync",
            old = out(reg) _,
            real = out(reg) _,
            before = out(reg) before,
            word = in(reg) LAST_LINE_WORD,
            kernel = in(reg) KERNEL,
            out("cr0") _,
            options(nostack),
        );
    }
    before == 0 || before == KERNEL
}

/// Whether somebody has printed the last line of the run, or is about to.
#[must_use]
pub fn last_line_is_claimed() -> bool {
    let claimed: u64;
    // SAFETY: as in `claim_last_line`; a load changes nothing.
    unsafe {
        asm!(
            "mfmsr {old}",
            "rldicl {real}, {old}, 59, 1",
            "rotldi {real}, {real}, 5",
            "mtmsrd {real}",
            "isync",
            "ld {claimed}, 0({word})",
            "mtmsrd {old}",
            "isync",
            old = out(reg) _,
            real = out(reg) _,
            claimed = out(reg) claimed,
            word = in(reg_nonzero) LAST_LINE_WORD,
            options(nostack, readonly, preserves_flags),
        );
    }
    claimed != 0
}

/// Makes the instructions that were stored at `start..start + len` visible to instruction fetch.
pub fn sync_instructions(start: usize, len: usize) {
    // No 64-bit processor has shorter cache blocks; on one with longer ones the same is done more than once.
    const LINE: usize = 32;
    let first = start & !(LINE - 1);
    for line in (first..start.saturating_add(len)).step_by(LINE) {
        // SAFETY: cache maintenance by address changes no data; an address that is not RAM is ignored.
        unsafe {
            asm!("dcbst 0, {0}", "sync", "icbi 0, {0}", in(reg) line, options(nostack, preserves_flags))
        };
    }
    // SAFETY: barriers.
    unsafe { asm!("sync", "isync", options(nostack, preserves_flags)) };
}
