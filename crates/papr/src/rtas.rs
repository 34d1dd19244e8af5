//! RTAS calls: the layout of the argument block, and the status word. The caller provides the block's memory.
//!
//! Source: PAPR+ chapter 7; QEMU `hw/ppc/spapr_rtas.c`. After H_RTAS in a secure VM r3 still holds the
//! opcode, so only the first return word counts (ultravisor `svm/svm-rtas.c`).

use crate::hcall::calls;
use crate::platform::{DeviceMemory, Hypervisor};

pub use error::{RtasError, judge};
pub use service::Service;

/// Most argument words, and most return words, of a call.
pub const MAX_WORDS: usize = 8;

/// Most arguments and results together, with the status. The ultravisor has room for no more (`svm/svm-rtas.c`:
/// `args[16]`) and does not check it.
pub const MOST_TOGETHER: usize = 16;

/// Checks the number of an interrupt source or a server (XICS: 24 bits), for use as an argument.
///
/// # Errors
/// The number has more than 24 bits.
pub fn xics_number(number: u32) -> Result<u32, RtasError> {
    if number >> 24 == 0 { Ok(number) } else { Err(RtasError::NoSuchNumber(number)) }
}

/// Words of an argument block: token, count of arguments, count of returns, both lists, and the status.
pub const BLOCK_WORDS: usize = 4 + 2 * MAX_WORDS;

/// A status that no service returns: it stays if the call is refused before it begins.
const NOT_ANSWERED: u32 = i32::MIN.cast_unsigned();

/// Calls the service with this token once, by way of `block`, memory of at least [`BLOCK_WORDS`] big-endian words
/// (PAPR+ 7.2.1) that the hypervisor writes to. Copies `rets.len()` words from where this call put them, whatever the
/// counts in the block say afterwards. Ignores r3, which still holds the opcode in a secure VM.
///
/// # Errors
/// The status, or too many words.
///
/// # Safety
/// The caller alone uses the block until the call returns. The service of this token, with these arguments, changes no
/// memory that Rust code relies on.
#[allow(unsafe_code, reason = "what a service does with memory depends on token and arguments")]
pub unsafe fn call(
    hypervisor: &impl Hypervisor,
    block: &impl DeviceMemory,
    token: u32,
    args: &[u32],
    rets: &mut [u32],
) -> Result<(), RtasError> {
    let words = args.len().max(rets.len());
    let together = args.len().saturating_add(rets.len()).saturating_add(1);
    if words > MAX_WORDS || together > MOST_TOGETHER {
        return Err(RtasError::TooManyWords(together));
    }
    let status_at = args.len().saturating_add(3);
    let header = [token, count(args.len()), count(rets.len().saturating_add(1))];
    let request = header.iter().chain(args).chain(&[NOT_ANSWERED]);
    block.zero(0, BLOCK_WORDS.saturating_mul(4));
    for (index, word) in request.enumerate() {
        block.write(index.saturating_mul(4), &word.to_be_bytes());
    }
    // SAFETY: the block was written above and is the caller's; the caller promises that the service is harmless.
    unsafe { calls::rtas(hypervisor, block.gpa()) };
    judge(word(block, status_at).cast_signed())?;
    for (index, ret) in rets.iter_mut().enumerate() {
        *ret = word(block, index.saturating_add(status_at).saturating_add(1));
    }
    Ok(())
}

/// A number of words, at most [`MAX_WORDS`] + 1.
fn count(words: usize) -> u32 {
    u32::try_from(words).unwrap_or(0)
}

fn word(block: &impl DeviceMemory, index: usize) -> u32 {
    let mut bytes = [0; 4];
    block.read(index.saturating_mul(4), &mut bytes);
    u32::from_be_bytes(bytes)
}

pub mod busy;
mod error;
mod service;
