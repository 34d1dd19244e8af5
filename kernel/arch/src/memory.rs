//! Barriers, and copies to addresses that no Rust pointer may have.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

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
    for line in (first..start + len).step_by(LINE) {
        // SAFETY: cache maintenance by address changes no data; an address that is not RAM is ignored.
        unsafe {
            asm!("dcbst 0, {0}", "sync", "icbi 0, {0}", in(reg) line, options(nostack, preserves_flags))
        };
    }
    // SAFETY: barriers.
    unsafe { asm!("sync", "isync", options(nostack, preserves_flags)) };
}

/// Copies `len` bytes, each read once and written once, in doublewords where there are eight: 33 instructions
/// for 128 bytes. Neither address needs to be aligned (Power ISA 3.0B, book II 1.4: memory that is cached).
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, both of them RAM, and the two do not overlap.
#[inline]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller promises both ranges. The loops run len / 128, the remainder's doublewords and the
    // remaining bytes, and touch nothing else; CTR and CR0 are named.
    unsafe {
        asm!(
            "srdi. {n}, {len}, 7",
            "beq 2f",
            "mtctr {n}",
            "addi {from}, {from}, -128",
            "addi {to}, {to}, -128",
            "1:",
            "ldu {a}, 128({from})", "ld {b}, 8({from})", "ld {c}, 16({from})", "ld {d}, 24({from})",
            "ld {e}, 32({from})", "ld {f}, 40({from})", "ld {g}, 48({from})", "ld {h}, 56({from})",
            "stdu {a}, 128({to})", "std {b}, 8({to})", "std {c}, 16({to})", "std {d}, 24({to})",
            "std {e}, 32({to})", "std {f}, 40({to})", "std {g}, 48({to})", "std {h}, 56({to})",
            "ld {a}, 64({from})", "ld {b}, 72({from})", "ld {c}, 80({from})", "ld {d}, 88({from})",
            "ld {e}, 96({from})", "ld {f}, 104({from})", "ld {g}, 112({from})", "ld {h}, 120({from})",
            "std {a}, 64({to})", "std {b}, 72({to})", "std {c}, 80({to})", "std {d}, 88({to})",
            "std {e}, 96({to})", "std {f}, 104({to})", "std {g}, 112({to})", "std {h}, 120({to})",
            "bdnz 1b",
            "addi {from}, {from}, 128",
            "addi {to}, {to}, 128",
            "2:",
            // (len / 8) % 16
            "rldicl. {n}, {len}, 61, 60",
            "beq 4f",
            "mtctr {n}",
            "3:",
            "ld {a}, 0({from})",
            "std {a}, 0({to})",
            "addi {from}, {from}, 8",
            "addi {to}, {to}, 8",
            "bdnz 3b",
            "4:",
            "andi. {n}, {len}, 7",
            "beq 6f",
            "mtctr {n}",
            "5:",
            "lbz {a}, 0({from})",
            "stb {a}, 0({to})",
            "addi {from}, {from}, 1",
            "addi {to}, {to}, 1",
            "bdnz 5b",
            "6:",
            len = in(reg) len,
            from = inout(reg_nonzero) from => _,
            to = inout(reg_nonzero) to => _,
            n = out(reg) _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
            out("ctr") _, out("cr0") _,
            options(nostack),
        );
    }
}

/// Bytes that `dcbz` clears where it is used: the cache block of POWER8 and later.
const BLOCK: usize = 128;
/// Whether it is used.
static BY_BLOCKS: AtomicBool = AtomicBool::new(false);

/// From now on memory is cleared a cache block at a time.
///
/// # Safety
/// `dcbz` clears 128 bytes on every processor of this machine.
pub unsafe fn clear_by_blocks() {
    BY_BLOCKS.store(true, Ordering::Relaxed);
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
    if !BY_BLOCKS.load(Ordering::Relaxed) {
        // SAFETY: as the caller promises.
        unsafe { zero_bytes(to, len) };
        return;
    }
    let head = (to as usize).wrapping_neg() % BLOCK;
    let head = head.min(len);
    let blocks = (len - head) / BLOCK;
    let tail = (len - head) % BLOCK;
    // SAFETY: head, blocks and tail are `len` bytes together, and the blocks begin at a boundary.
    unsafe {
        zero_bytes(to, head);
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
        zero_bytes(middle.add(blocks * BLOCK), tail);
    }
}

/// Copies `len` bytes as [`copy`] does and writes zeros to where they were: whole cache blocks in one pass, 34
/// instructions each, so that each is looked up and fetched once.
///
/// # Safety
/// `from` and `to` are writable for `len` bytes, both of them RAM that is cached, and the two do not overlap.
#[inline]
pub unsafe fn take(to: *mut u8, from: *mut u8, len: usize) {
    let whole = (from as usize).is_multiple_of(BLOCK) && BY_BLOCKS.load(Ordering::Relaxed);
    let blocks = if whole { len / BLOCK } else { 0 };
    let done = blocks * BLOCK;
    // SAFETY: the caller promises both ranges. The loop runs `blocks` times and touches nothing but so many
    // whole blocks of each, all loads of a block before it is cleared; what is left is copied, then cleared.
    unsafe {
        if blocks > 0 {
            asm!(
                "mtctr {n}",
                "addi {from}, {from}, -{block}",
                "addi {to}, {to}, -{block}",
                "1:",
                "ldu {a}, {block}({from})", "ld {b}, 8({from})", "ld {c}, 16({from})", "ld {d}, 24({from})",
                "ld {e}, 32({from})", "ld {f}, 40({from})", "ld {g}, 48({from})", "ld {h}, 56({from})",
                "stdu {a}, {block}({to})", "std {b}, 8({to})", "std {c}, 16({to})", "std {d}, 24({to})",
                "std {e}, 32({to})", "std {f}, 40({to})", "std {g}, 48({to})", "std {h}, 56({to})",
                "ld {a}, 64({from})", "ld {b}, 72({from})", "ld {c}, 80({from})", "ld {d}, 88({from})",
                "ld {e}, 96({from})", "ld {f}, 104({from})", "ld {g}, 112({from})", "ld {h}, 120({from})",
                "dcbz 0, {from}",
                "std {a}, 64({to})", "std {b}, 72({to})", "std {c}, 80({to})", "std {d}, 88({to})",
                "std {e}, 96({to})", "std {f}, 104({to})", "std {g}, 112({to})", "std {h}, 120({to})",
                "bdnz 1b",
                n = in(reg) blocks,
                from = inout(reg_nonzero) from => _,
                to = inout(reg_nonzero) to => _,
                a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
                block = const BLOCK,
                out("ctr") _,
                options(nostack),
            );
        }
        if done < len {
            copy(to.add(done), from.add(done), len - done);
            zero(from.add(done), len - done);
        }
    }
}

/// Writes zeros: doublewords, then bytes.
unsafe fn zero_bytes(to: *mut u8, len: usize) {
    // SAFETY: as for `zero`; `to` need not be aligned, hence asm.
    unsafe {
        let mut at = to;
        for _ in 0..len / 8 {
            asm!("std {0}, 0({1})", in(reg) 0u64, in(reg_nonzero) at, options(nostack, preserves_flags));
            at = at.add(8);
        }
        for _ in 0..len % 8 {
            asm!("stb {0}, 0({1})", in(reg) 0u64, in(reg_nonzero) at, options(nostack, preserves_flags));
            at = at.add(1);
        }
    }
}
