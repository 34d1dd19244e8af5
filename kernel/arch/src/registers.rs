//! Reads of special registers, and the changes of MSR that turn translation and vector registers on.

use core::arch::asm;

/// MSR\[RI\]: an interrupt is recoverable.
pub(crate) const MSR_RI: u64 = 1 << 1;

/// The machine state register.
#[inline]
pub fn msr() -> u64 {
    let msr;
    // SAFETY: reads a register.
    unsafe { asm!("mfmsr {}", out(reg) msr, options(nomem, nostack, preserves_flags)) };
    msr
}

/// The processor version register.
#[inline]
pub fn pvr() -> u32 {
    let pvr: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mfspr {}, 287", out(reg) pvr, options(nomem, nostack, preserves_flags)) };
    // The register has 32 bits.
    (pvr & 0xffff_ffff) as u32
}

/// The timebase, in ticks.
#[inline]
pub fn timebase() -> u64 {
    let ticks;
    // SAFETY: reads a register.
    unsafe { asm!("mfspr {}, 268", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// A conditioned random number of the CPU (`darn`, L=1); `None` when it has none right now.
#[inline]
pub fn random() -> Option<u64> {
    let word: u64;
    // SAFETY: reads a number into a register; POWER9 and later, which the image is built for, have it.
    unsafe { asm!("darn {}, 1", out(reg) word, options(nomem, nostack, preserves_flags)) };
    (word != u64::MAX).then_some(word)
}

/// SPRG0: the top of this CPU's exception stack, which identifies the CPU.
#[inline]
pub fn exception_stack() -> u64 {
    let top;
    // SAFETY: reads a register.
    unsafe { asm!("mfsprg {}, 0", out(reg) top, options(nomem, nostack, preserves_flags)) };
    top
}

/// One turn of a waiting loop: low thread priority for a moment (Power ISA 3.0B, book II 3.2).
#[inline]
pub fn relax() {
    // SAFETY: the two forms of `or` are hints.
    unsafe { asm!("or 1, 1, 1", "or 2, 2, 2", options(nomem, nostack, preserves_flags)) };
}

/// Turns translation on (MSR\[IR\] and MSR\[DR\]) with process 0's tables.
///
/// # Safety
/// The registered tables map the code that runs and everything it uses at the addresses it uses.
pub unsafe fn enable_translation() {
    // SAFETY: the caller promises that addresses mean the same before and after. PIDR (SPR 48) 0 names the
    // first process table entry; the barriers order the tables' stores and the change of context.
    unsafe {
        asm!(
            "ptesync",
            "mtspr 48, {zero}",
            "isync",
            "mfmsr {msr}",
            "ori {msr}, {msr}, 0x30",
            "mtmsrd {msr}",
            "isync",
            zero = in(reg) 0u64,
            msr = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// Writes PIDR with its present value, 0. QEMU flushes the CPU's TLB at that.
#[inline]
pub fn renew_process() {
    // SAFETY: PIDR (SPR 48) keeps its value, so every address means the same before and after.
    unsafe { asm!("mtspr 48, {}", "isync", in(reg) 0u64, options(nostack, preserves_flags)) };
}

/// MSR\[FP\], MSR\[VEC\] and MSR\[VSX\] (PPC bits 50, 38 and 40): vector registers can be used. They are set together,
/// because the hypervisor and the ultravisor save the registers by these bits.
const MSR_VECTORS: u64 = 1 << 13 | 1 << 25 | 1 << 23;

/// Whether the CPU that runs this may use vector registers now: never in the middle of an exception.
#[inline]
pub fn vectors_are_on() -> bool {
    msr() & MSR_VECTORS == MSR_VECTORS
}

/// Turns vector registers on, on the CPU that runs this.
pub fn use_vectors() {
    // SAFETY: these bits change what else may be executed, nothing that is; `mtmsrd` synchronizes the context.
    unsafe { asm!("mtmsrd {}", in(reg) msr() | MSR_VECTORS, options(nomem, nostack, preserves_flags)) };
}
