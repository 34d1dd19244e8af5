//! Waiting: the one place where interrupts are let in.

use core::arch::asm;

/// MSR\[RI\]: an interrupt can be returned from.
const MSR_RI: u64 = 1 << 1;

/// Gives the CPU up by hcall `number` (H_CEDE) until an interrupt is pending, or `ticks` of the timebase have
/// passed. True when it was the timer that ended it.
///
/// Interrupts are off before and after. H_CEDE turns them on as it returns (PAPR+ 14.5.4.2), so an interrupt that
/// came before it ends it at once: none is slept over. The handlers of 0x500 and 0x900 turn them off again, and
/// where none was pending the next instruction does.
#[inline]
pub fn cede(number: u64, ticks: u32) -> bool {
    let fired: u64;
    // SAFETY: clobbers are those of an hcall, as in `hcall`. SPRG3 is this function's and the decrementer's
    // handler's alone. The decrementer causes nothing but an interrupt, which has a handler since
    // `boot`'s entry, and no device interrupt is let through before that either. `mtmsrd` with L=1 changes EE
    // and RI only, and RI stays on: the handlers of 0x500 and 0x900 return to nothing else.
    unsafe {
        asm!(
            "mtsprg 3, {zero}",
            "mtdec {ticks}",
            "sc 1",
            "mtmsrd {recoverable}, 1",
            "mfsprg {fired}, 3",
            zero = in(reg) 0u64,
            recoverable = in(reg) MSR_RI,
            ticks = in(reg) u64::from(ticks),
            fired = lateout(reg) fired,
            inout("r3") number => _,
            out("r0") _, out("r4") _, out("r5") _, out("r6") _, out("r7") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _,
            out("ctr") _, out("xer") _, out("cr0") _, out("cr1") _, out("cr5") _, out("cr6") _, out("cr7") _,
            options(nostack),
        );
    }
    fired != 0
}
