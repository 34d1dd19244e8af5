//! Copies that read and write each byte exactly once, in assembly, so that the compiler cannot change them.
//!
//! Neither address needs to be aligned (Power ISA 3.0B, book II 1.4: memory that is cached).

use crate::clear::{BLOCK, clears_by_blocks, zero};
use crate::registers::vectors_are_on;
use core::arch::asm;

/// Copies `len` bytes in doublewords: 33 instructions for 128 bytes, then 64, 32, 16, 8, 4, 2 and 1 byte as the rest
/// needs.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, both of them RAM, and the two do not overlap.
#[inline]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller promises both ranges. The loop runs len / 128 times. CR6 and CR7 hold the lower eight bits of
    // `len`; the lower seven of them say which pieces the rest has. Nothing else is accessed; CTR and the fields of CR
    // are declared as clobbered.
    unsafe {
        asm!(
            "srdi. {n}, {len}, 7",
            "mtocrf 0x02, {len}",
            "mtocrf 0x01, {len}",
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
            "2: bf 25, 3f",
            "ld {a}, 0({from})", "ld {b}, 8({from})", "ld {c}, 16({from})", "ld {d}, 24({from})",
            "ld {e}, 32({from})", "ld {f}, 40({from})", "ld {g}, 48({from})", "ld {h}, 56({from})",
            "std {a}, 0({to})", "std {b}, 8({to})", "std {c}, 16({to})", "std {d}, 24({to})",
            "std {e}, 32({to})", "std {f}, 40({to})", "std {g}, 48({to})", "std {h}, 56({to})",
            "addi {from}, {from}, 64",
            "addi {to}, {to}, 64",
            "3: bf 26, 4f",
            "ld {a}, 0({from})", "ld {b}, 8({from})", "ld {c}, 16({from})", "ld {d}, 24({from})",
            "std {a}, 0({to})", "std {b}, 8({to})", "std {c}, 16({to})", "std {d}, 24({to})",
            "addi {from}, {from}, 32",
            "addi {to}, {to}, 32",
            "4: bf 27, 5f",
            "ld {a}, 0({from})", "ld {b}, 8({from})",
            "std {a}, 0({to})", "std {b}, 8({to})",
            "addi {from}, {from}, 16",
            "addi {to}, {to}, 16",
            "5: bf 28, 6f",
            "ld {a}, 0({from})",
            "std {a}, 0({to})",
            "addi {from}, {from}, 8",
            "addi {to}, {to}, 8",
            "6: bf 29, 7f",
            "lwz {a}, 0({from})",
            "stw {a}, 0({to})",
            "addi {from}, {from}, 4",
            "addi {to}, {to}, 4",
            "7: bf 30, 8f",
            "lhz {a}, 0({from})",
            "sth {a}, 0({to})",
            "addi {from}, {from}, 2",
            "addi {to}, {to}, 2",
            "8: bf 31, 9f",
            "lbz {a}, 0({from})",
            "stb {a}, 0({to})",
            "9:",
            len = in(reg) len,
            from = inout(reg_nonzero) from => _,
            to = inout(reg_nonzero) to => _,
            n = out(reg) _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
            out("ctr") _, out("cr0") _, out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
}

/// A loop of `{n}` turns. Each turn copies the listed blocks of 128 bytes from `{from}` to `{to}` by VSR 0 to 7: it loads
/// a whole block, runs the optional instruction, then stores the block. Both addresses end behind the last block.
macro_rules! by_vectors {
    ($bytes:literal: $([$a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal
        $($between:literal)?])+) => {
        concat!(
            "mtctr {n}\n",
            "1:\n",
            $(
            "lxv 0, ", $a, "({from})\n lxv 1, ", $b, "({from})\n lxv 2, ", $c, "({from})\n lxv 3, ", $d, "({from})\n",
            "lxv 4, ", $e, "({from})\n lxv 5, ", $f, "({from})\n lxv 6, ", $g, "({from})\n lxv 7, ", $h, "({from})\n",
            $($between, "\n",)?
            "stxv 0, ", $a, "({to})\n stxv 1, ", $b, "({to})\n stxv 2, ", $c, "({to})\n stxv 3, ", $d, "({to})\n",
            "stxv 4, ", $e, "({to})\n stxv 5, ", $f, "({to})\n stxv 6, ", $g, "({to})\n stxv 7, ", $h, "({to})\n",
            )+
            "addi {from}, {from}, ", $bytes, "\n",
            "addi {to}, {to}, ", $bytes, "\n",
            "bdnz 1b"
        )
    };
}

/// Cache blocks in one turn of the longer loop.
const TURN: usize = 4;

/// Copies `len` bytes from or to shared memory: as [`copy`] does or, where vector registers are on
/// ([`crate::use_vectors`]), with 67 instructions for 512 bytes. Vector registers keep the last bytes copied, and the
/// host sees them: only bytes that are in shared memory anyway may be copied by them.
///
/// # Safety
/// As for [`copy`].
#[inline]
pub unsafe fn copy_shared(to: *mut u8, from: *const u8, len: usize) {
    let blocks = if len >= BLOCK && vectors_are_on() { len / BLOCK } else { 0 };
    let (turns, single) = (blocks / TURN, blocks % TURN);
    // Both are at most `len`.
    let (turned, done) = (turns.wrapping_mul(TURN * BLOCK), blocks.wrapping_mul(BLOCK));
    // SAFETY: the caller promises both ranges; the loops access whole blocks inside them. CTR is declared as clobbered.
    // Vector registers are on, and no other code uses them: the target's features tell the compiler that there are none,
    // and `scripts/check-image.sh` finds every other use. The hypervisor preserves them, because MSR says that they are
    // in use; one that changes them could as well have changed the shared side.
    unsafe {
        if turns > 0 {
            asm!(
                by_vectors!(512:
                    [0 16 32 48 64 80 96 112]
                    [128 144 160 176 192 208 224 240]
                    [256 272 288 304 320 336 352 368]
                    [384 400 416 432 448 464 480 496]),
                n = in(reg) turns,
                from = inout(reg_nonzero) from => _,
                to = inout(reg_nonzero) to => _,
                out("ctr") _,
                options(nostack, preserves_flags),
            );
        }
        if single > 0 {
            asm!(
                by_vectors!(128: [0 16 32 48 64 80 96 112]),
                n = in(reg) single,
                from = inout(reg_nonzero) from.add(turned) => _,
                to = inout(reg_nonzero) to.add(turned) => _,
                out("ctr") _,
                options(nostack, preserves_flags),
            );
        }
        if done < len {
            copy(to.add(done), from.add(done), len.wrapping_sub(done));
        }
    }
}

/// Copies `len` bytes out of shared memory, as [`copy_shared`] does, and clears them there. Where `dcbz` and vector
/// registers may be used, whole cache blocks are copied and cleared in one pass, 71 instructions for four blocks, so
/// that each is translated and fetched once.
///
/// # Safety
/// `from` and `to` are writable for `len` bytes, both of them RAM that is cached, and the two do not overlap.
#[inline]
pub unsafe fn take(to: *mut u8, from: *mut u8, len: usize) {
    let whole = (from as usize).is_multiple_of(BLOCK) && clears_by_blocks() && vectors_are_on();
    let blocks = if whole { len / BLOCK } else { 0 };
    let (turns, single) = (blocks / TURN, blocks % TURN);
    let (turned, done) = (turns.wrapping_mul(TURN * BLOCK), blocks.wrapping_mul(BLOCK));
    // SAFETY: as in `copy_shared`. Each block that is cleared is whole, inside the range, and was loaded before.
    unsafe {
        if turns > 0 {
            asm!(
                by_vectors!(512:
                    [0 16 32 48 64 80 96 112 "dcbz 0, {from}"]
                    [128 144 160 176 192 208 224 240 "dcbz {second}, {from}"]
                    [256 272 288 304 320 336 352 368 "dcbz {third}, {from}"]
                    [384 400 416 432 448 464 480 496 "dcbz {fourth}, {from}"]),
                n = in(reg) turns,
                second = in(reg_nonzero) BLOCK,
                third = in(reg_nonzero) 2 * BLOCK,
                fourth = in(reg_nonzero) 3 * BLOCK,
                from = inout(reg_nonzero) from => _,
                to = inout(reg_nonzero) to => _,
                out("ctr") _,
                options(nostack, preserves_flags),
            );
        }
        if single > 0 {
            asm!(
                by_vectors!(128: [0 16 32 48 64 80 96 112 "dcbz 0, {from}"]),
                n = in(reg) single,
                from = inout(reg_nonzero) from.add(turned) => _,
                to = inout(reg_nonzero) to.add(turned) => _,
                out("ctr") _,
                options(nostack, preserves_flags),
            );
        }
        if done < len {
            take_rest(to.add(done), from.add(done), len.wrapping_sub(done));
        }
    }
}

/// [`take`] without whole cache blocks: for the rest of a range, and where `dcbz` is not used.
///
/// # Safety
/// As for [`take`].
#[inline(never)]
unsafe fn take_rest(to: *mut u8, from: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        copy_shared(to, from, len);
        zero(from, len);
    }
}
