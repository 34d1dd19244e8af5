//! Ends a boot that failed: prints why, then ends the machine.

use crate::console::say;
use core::fmt;
use papr::hcall::Hcall;
use postern_core::exit::ExitStatus;

/// QEMU's token for ibm,os-term (`include/hw/ppc/spapr.h`), for a tree that could not be read; the published
/// ultravisor relies on the same number (`svm/svm-rtas.c`).
const OS_TERM: u32 = 0x201f;

/// Words of the argument block: token, one argument, one result (PAPR+ 7.2.1).
#[repr(C, align(64))]
struct Block([u32; 5]);

/// Prints why and the exit status, and ends the machine. `os_term` is the token of ibm,os-term, if the tree has been
/// read.
pub fn stop(status: ExitStatus, why: &dyn fmt::Display, os_term: Option<u32>) -> ! {
    say!("boot: {why}");
    say!("EXIT: STATUS={}", status.code());
    // RTAS cannot reach the text of an image above 4 GiB; the reason is on the console already.
    let text = u32::try_from(c"Postern could not boot".as_ptr().expose_provenance()).unwrap_or(0);
    let words = [os_term.unwrap_or(OS_TERM), 1, 1, text, 0];
    let block = Block(words.map(u32::to_be));
    let at = block.0.as_ptr().expose_provenance() as u64;
    // SAFETY: the block is this function's. ibm,os-term reads a text and ends the machine. The token is no other
    // service's: `early::rtas_token` returns none that is, and the fallback is the published ultravisor's number.
    unsafe { postern_arch::hcall(Hcall::Rtas as u64, [at, 0, 0, 0]) };
    // Reached only if the machine goes on after ibm,os-term.
    loop {
        postern_arch::relax();
    }
}
