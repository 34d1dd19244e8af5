//! `sc 1` and `sc 2`.
//!
//! The host sees a call's number and arguments, and nothing else: every volatile register that is no argument is zero
//! (r0, the rest of r4..r12, CTR, XER). CR0, CR1 and CR5..CR7 hold the outcome of comparisons and are not
//! cleared. r14..r31 may hold anything: the ultravisor randomises them before the hypervisor runs and restores
//! them afterwards. An ordinary guest hides nothing from its host anyway.

use crate::registers::MSR_RI;
use core::arch::asm;

/// A hypervisor call: number in r3, arguments in r4..r7. Returns r3 as the status and r4..r7 as outputs.
///
/// Register contract (PAPR+ 14.5.3): r0, r3..r12, CTR, XER, CR0, CR1 and CR5..CR7 are lost, all else is
/// kept. Inside a secure VM the ultravisor passes on only the registers that the call has.
///
/// # Safety
/// Whatever its arguments, the call changes no memory that Rust code relies on and gives no device access to any; or
/// the caller owns the memory that the arguments name.
#[inline]
pub unsafe fn hcall(number: u64, args: [u64; 4]) -> (i64, [u64; 4]) {
    let [mut r4, mut r5, mut r6, mut r7] = args;
    let status: i64;
    // SAFETY: clobbers are as in the contract. The hypervisor may write to guest memory that a call names, so
    // the asm is taken to touch memory (no `nomem`); that the memory may be written is the caller's promise.
    unsafe {
        asm!(
            "mtctr 0",
            "mtxer 0",
            "sc 1",
            inout("r3") number => status,
            inout("r4") r4, inout("r5") r5, inout("r6") r6, inout("r7") r7,
            inout("r0") 0u64 => _, inout("r8") 0u64 => _, inout("r9") 0u64 => _, inout("r10") 0u64 => _,
            inout("r11") 0u64 => _, inout("r12") 0u64 => _,
            out("ctr") _, out("xer") _, out("cr0") _, out("cr1") _, out("cr5") _, out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
    (status, [r4, r5, r6, r7])
}

/// Value of SPRG3 before an `sc 2`: only then does the vector at 0xc00 answer it (`boot/src/vectors.S`).
const SC_EXPECTED: u64 = 0x5c02;

/// An ultravisor call: number in r3, arguments in r4 and r5. Returns r3, where the published firmware leaves the
/// number once a call's body has begun (ultravisor `core/uvcall.c`).
///
/// Register contract: as for an ordinary function call (Linux `arch/powerpc/kernel/ucall.S`), of which the
/// published ultravisor uses only r3.
///
/// The call is made with MSR\[EE\] off, because an interrupt that the host synthesises during an ultracall is
/// lost. EE is off everywhere but inside [`crate::cede`]; this function turns it off in any case and leaves it off.
///
/// # Safety
/// The call is none of those that change memory, or the caller owns every frame that the arguments name, and
/// no reference to its bytes exists: a share or unshare zeroes frames. MSR\[RI\] may be set here: an interrupt is
/// recoverable.
#[inline]
pub unsafe fn ultracall(number: u64, args: [u64; 2]) -> i64 {
    let r3: i64;
    // SAFETY: clobbers are as in the contract; the asm is taken to touch memory, which is the caller's to give.
    // `mtmsrd` with L=1 changes EE and RI only: EE goes off, and RI stays on by the caller's promise. SPRG3 is not
    // in use outside of `cede`, and is 0 again afterwards.
    unsafe {
        asm!(
            "mtmsrd {recoverable}, 1",
            "mtctr 0",
            "mtxer 0",
            "mtsprg 3, {expected}",
            "sc 2",
            "li 0, 0",
            "mtsprg 3, 0",
            recoverable = in(reg) MSR_RI,
            expected = in(reg) SC_EXPECTED,
            inout("r3") number => r3,
            inout("r4") args[0] => _, inout("r5") args[1] => _,
            inout("r0") 0u64 => _, inout("r6") 0u64 => _, inout("r7") 0u64 => _, inout("r8") 0u64 => _,
            inout("r9") 0u64 => _, inout("r10") 0u64 => _, inout("r11") 0u64 => _, inout("r12") 0u64 => _,
            out("ctr") _, out("xer") _, out("cr0") _, out("cr1") _, out("cr5") _,
            out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
    r3
}

/// UV_ESMB_GET_FILE: number in r3, offset in r4, name in r5..r12. Returns r3, and r4..r11 in `data`, the most significant
/// byte of each first.
///
/// The registers are stored and cleared at once: they hold a secret, and the host sees every register that a later
/// hypercall does not overwrite. MSR\[EE\] as for [`ultracall`].
///
/// # Safety
/// `number` is that of UV_ESMB_GET_FILE; another call could change memory. MSR\[RI\] may be set here: an interrupt is
/// recoverable.
#[inline(never)]
pub unsafe fn get_file(number: u64, offset: u64, name: &[u64; 8], data: &mut [u8; 64]) -> i64 {
    let r3: i64;
    // SAFETY: the call writes registers only. `name` is read and `data` is written within their 64 bytes. MSR and SPRG3 as
    // in `ultracall`.
    unsafe {
        asm!(
            "ld 5, 0({name})", "ld 6, 8({name})", "ld 7, 16({name})", "ld 8, 24({name})",
            "ld 9, 32({name})", "ld 10, 40({name})", "ld 11, 48({name})", "ld 12, 56({name})",
            "mtmsrd {recoverable}, 1",
            "mtctr 0",
            "mtxer 0",
            "mtsprg 3, {expected}",
            "sc 2",
            "li 0, 0",
            "mtsprg 3, 0",
            "stdbrx 4, 0, {data}", "addi {data}, {data}, 8",
            "stdbrx 5, 0, {data}", "addi {data}, {data}, 8",
            "stdbrx 6, 0, {data}", "addi {data}, {data}, 8",
            "stdbrx 7, 0, {data}", "addi {data}, {data}, 8",
            "stdbrx 8, 0, {data}", "addi {data}, {data}, 8",
            "stdbrx 9, 0, {data}", "addi {data}, {data}, 8",
            "stdbrx 10, 0, {data}", "addi {data}, {data}, 8",
            "stdbrx 11, 0, {data}", "addi {data}, {data}, 8",
            "li 4, 0", "li 5, 0", "li 6, 0", "li 7, 0", "li 8, 0", "li 9, 0", "li 10, 0", "li 11, 0", "li 12, 0",
            name = in(reg_nonzero) name.as_ptr(),
            data = inout(reg_nonzero) data.as_mut_ptr() => _,
            recoverable = in(reg) MSR_RI,
            expected = in(reg) SC_EXPECTED,
            inout("r3") number => r3,
            inout("r4") offset => _,
            inout("r0") 0u64 => _, out("r5") _, out("r6") _, out("r7") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _,
            out("ctr") _, out("xer") _, out("cr0") _, out("cr1") _, out("cr5") _,
            out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
    r3
}
