//! Barriers, and copies to addresses that no Rust pointer may have.

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

/// Copies `len` bytes, a multiple of 8, to the real address `to`, which may be low memory and even 0.
///
/// # Safety
/// `from` is readable for `len` bytes; `to..to + len` is RAM that nothing else uses, and the two do not
/// overlap.
pub unsafe fn copy_to_real(to: usize, from: *const u8, len: usize) {
    // SAFETY: the caller promises both ranges. The loop runs len / 8 times; CTR and CR0 are named.
    unsafe {
        asm!(
            "cmpldi {words}, 0",
            "beq 2f",
            "mtctr {words}",
            "1: ldx {word}, {from}, {offset}",
            "stdx {word}, {to}, {offset}",
            "addi {offset}, {offset}, 8",
            "bdnz 1b",
            "2:",
            words = in(reg_nonzero) len / 8,
            from = in(reg_nonzero) from,
            to = in(reg) to,
            offset = inout(reg) 0usize => _,
            word = out(reg) _,
            out("ctr") _, out("cr0") _,
            options(nostack),
        );
    }
}

/// Makes instructions just stored at `start..start + len` the ones that are fetched.
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
