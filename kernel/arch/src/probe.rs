//! The first access to memory that may not be this VM's.

use crate::registers::vectors_are_on;
use core::arch::asm;

/// Copies 16 bytes: by VSR 0 where vector registers are on ([`crate::use_vectors`]), else by doublewords. Outside the
/// VM's memory slots the ultravisor emulates accesses as device accesses, but plain loads and stores only: a vector
/// access stops the CPU there and leaks nothing.
///
/// # Safety
/// `from` is readable and `to` writable for 16 bytes, and the two do not overlap. The bytes may stay in VSR 0.
#[inline]
pub unsafe fn copy_16(to: *mut u8, from: *const u8) {
    if vectors_are_on() {
        // SAFETY: the caller promises both ranges. The compiler does not use vector registers.
        unsafe {
            asm!(
                "lxvd2x 0, 0, {from}",
                "stxvd2x 0, 0, {to}",
                from = in(reg) from,
                to = in(reg) to,
                options(nostack, preserves_flags),
            );
        }
    } else {
        // SAFETY: the caller promises both ranges; the addresses need not be aligned, hence asm.
        unsafe {
            asm!(
                "ld {a}, 0({from})", "ld {b}, 8({from})",
                "std {a}, 0({to})", "std {b}, 8({to})",
                a = out(reg) _, b = out(reg) _,
                from = in(reg_nonzero) from, to = in(reg_nonzero) to,
                options(nostack, preserves_flags),
            );
        }
    }
}
