//! Waiting for interrupts: the only code that runs with MSR\[EE\] on.

use crate::registers::MSR_RI;
use core::arch::asm;

/// Cedes the CPU by hcall `number` (H_CEDE) until an interrupt is pending, or `ticks` of the timebase have passed.
/// Returns whether the decrementer ended the wait.
///
/// Interrupts are off before and after. H_CEDE turns them on as it returns (PAPR+ 14.5.4.2), so an interrupt that was
/// pending before it ends the wait at once: none is missed. The handlers of 0x500 and 0x900 turn interrupts off again;
/// without an interrupt the next instruction does.
///
/// # Safety
/// `number` is H_CEDE's, and this CPU's vectors 0x500 and 0x900 have handlers that change nothing but SPRG3.
#[inline]
pub unsafe fn cede(number: u64, ticks: u32) -> bool {
    let fired: u64;
    // SAFETY: clobbers are those of an hcall, and what is no argument is zero, as in `hcall`. SPRG3 is this
    // function's and the decrementer's handler's alone. An interrupt between H_CEDE's return and `mtmsrd` has a
    // handler by the caller's promise. `mtmsrd` with L=1 changes EE and RI only, and RI stays on: the handlers of
    // 0x500 and 0x900 return to nothing else.
    unsafe {
        asm!(
            "mtsprg 3, 0",
            "mtdec {ticks}",
            "mtctr 0",
            "mtxer 0",
            "sc 1",
            "mtmsrd {recoverable}, 1",
            "mfsprg {fired}, 3",
            recoverable = in(reg) MSR_RI,
            ticks = in(reg) u64::from(ticks),
            fired = lateout(reg) fired,
            inout("r3") number => _,
            inout("r0") 0u64 => _, inout("r4") 0u64 => _, inout("r5") 0u64 => _, inout("r6") 0u64 => _,
            inout("r7") 0u64 => _, inout("r8") 0u64 => _, inout("r9") 0u64 => _, inout("r10") 0u64 => _,
            inout("r11") 0u64 => _, inout("r12") 0u64 => _,
            out("ctr") _, out("xer") _, out("cr0") _, out("cr1") _, out("cr5") _, out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
    fired != 0
}
