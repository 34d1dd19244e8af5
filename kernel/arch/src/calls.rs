//! `sc 1` and `sc 2`.

use core::arch::asm;

/// A hypervisor call: number in r3, arguments in r4..r7; status from r3, outputs from r4..r7.
///
/// Register contract (PAPR+ 14.5.3): r0, r3..r12, CTR, XER, CR0, CR1 and CR5..CR7 are lost, all else is
/// kept. Inside a secure VM the ultravisor passes on only the registers that the call has.
#[inline]
pub fn hcall(number: u64, args: [u64; 4]) -> (i64, [u64; 4]) {
    let [mut r4, mut r5, mut r6, mut r7] = args;
    let status: i64;
    // SAFETY: clobbers are as in the contract. The hypervisor may write to guest memory that a call names,
    // so the asm is taken to touch memory (no `nomem`); callers hand out only memory that is theirs to give.
    unsafe {
        asm!(
            "sc 1",
            inout("r3") number => status,
            inout("r4") r4, inout("r5") r5, inout("r6") r6, inout("r7") r7,
            out("r0") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
            out("ctr") _, out("xer") _, out("cr0") _, out("cr1") _, out("cr5") _, out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
    (status, [r4, r5, r6, r7])
}

/// What SPRG3 holds while an `sc 2` is next: only then does the vector at 0xc00 answer it (`boot/src/vectors.S`).
const SC_EXPECTED: u64 = 0x5c02;

/// An ultravisor call: number in r3, arguments in r4 and r5; what r3 holds afterwards. The published
/// firmware leaves the number in r3 once a call's body has begun (ultravisor `core/uvcall.c`).
///
/// Register contract: as for an ordinary function call (Linux `arch/powerpc/kernel/ucall.S`), of which the
/// published ultravisor uses only r3.
#[inline]
pub fn ultracall(number: u64, args: [u64; 2]) -> i64 {
    let r3: i64;
    // SAFETY: clobbers are as in the contract; a share or unshare zeroes the frames it names, so the asm is
    // taken to touch memory, and callers name only frames that hold nothing.
    unsafe {
        asm!(
            "mtsprg 3, {expected}",
            "sc 2",
            "li 0, 0",
            "mtsprg 3, 0",
            expected = in(reg) SC_EXPECTED,
            inout("r3") number => r3,
            inout("r4") args[0] => _, inout("r5") args[1] => _,
            out("r0") _, out("r6") _, out("r7") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("ctr") _, out("xer") _, out("cr0") _, out("cr1") _, out("cr5") _,
            out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
    r3
}
