//! Tests of interrupts that instructions raise.

use super::faults;
use super::not_ok::{NotOk, same};
use core::arch::asm;
use papr::ultracall::Ultracall;

/// SRR1 of a program interrupt that a trap raised (Power ISA 3.0B, book III 6.5.9).
const TRAP: u64 = 1 << 17;
/// U_FUNCTION: no such call.
const U_FUNCTION: i64 = -2;

/// A trap raises a program interrupt, and the next instruction runs.
pub fn trap() -> Result<(), NotOk> {
    let mut after = 0u64;
    faults::expect();
    // SAFETY: the trap is taken by the handler of `faults`, which goes on after it.
    unsafe { asm!("trap", "addi {0}, {0}, 1", inout(reg_nonzero) after, options(nostack)) };
    let fault = faults::taken().ok_or(NotOk::NoInterrupt("a trap"))?;
    if fault.vector != 0x700 || fault.srr1 & TRAP == 0 {
        return Err(NotOk::OtherInterrupt("a trap", fault));
    }
    same("instructions after the trap", after, 1)
}

/// An unaligned `ldarx` raises an alignment interrupt.
pub fn alignment() -> Result<(), NotOk> {
    let words = [0u64; 2];
    let at = (&raw const words).expose_provenance().wrapping_add(1) as u64;
    faults::expect();
    // SAFETY: a load of bytes of `words`; the interrupt is taken by the handler of `faults`.
    unsafe { asm!("ldarx {0}, 0, {1}", out(reg) _, in(reg) at, options(nostack)) };
    let fault = faults::taken().ok_or(NotOk::NoInterrupt("an unaligned ldarx"))?;
    if fault.vector == 0x600 && fault.dar == at {
        Ok(())
    } else {
        Err(NotOk::OtherInterrupt("an unaligned ldarx", fault))
    }
}

/// In an ordinary guest no ultravisor answers an ultracall; the guest's own vector answers U_FUNCTION.
pub fn ultracall() -> Result<(), NotOk> {
    let mut data = [0; 64];
    // SAFETY: the number is the call's, and MSR[RI] is on.
    let status = unsafe { postern_arch::get_file(Ultracall::EsmbGetFile as u64, 0, &[0; 8], &mut data) };
    same("the answer to an ultracall", status.cast_unsigned(), U_FUNCTION.cast_unsigned())
}
