//! UV_ESM: the image, byte for byte the file, becomes a secure VM.

use core::fmt;
use postern_core::hcall::{Hcall, HcallError, HcallReturn};
use postern_core::ultracall::{Ultracall, UvStatus};

unsafe extern "C" {
    /// See `esm.S`.
    fn postern_enter_esm(base: usize, fdt: usize) -> i64;
}

/// System call interrupt.
const VECTOR: usize = 0xc00;
/// `li r3, U_FUNCTION` and `rfid`: the answer when there is no ultravisor to take the call.
const NOBODY_THERE: [u32; 2] = [0x3860_fffe, 0x4c00_0024];
/// H_SET_MODE (PAPR+ 14.5.4.3.5): resource 4 is the byte order of interrupts, flag 1 little-endian.
const LITTLE_ENDIAN_INTERRUPTS: [u64; 4] = [1, 4, 0, 0];

/// Why the VM is not secure.
#[derive(Clone, Copy, Debug)]
pub enum EsmError {
    /// Interrupts could not be made little-endian, so no `sc 2` was issued.
    InterruptOrder(HcallError),
    /// UV_ESM came back.
    Refused(UvStatus),
}

impl fmt::Display for EsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterruptOrder(error) => write!(f, "UV_ESM not issued: little-endian interrupts: {error}"),
            Self::Refused(status) => write!(f, "UV_ESM failed: {status}"),
        }
    }
}

/// Issues UV_ESM for the image at `base` and the device tree at `fdt`. On success the image is entered anew.
///
/// # Safety
/// The image is at `base`, nothing that its file holds has been changed but by relocation, the tree is in
/// memory of ours outside the file's bytes, and firmware has given up low memory.
pub unsafe fn enter(base: usize, fdt: usize) -> EsmError {
    let (status, out) = postern_arch::hcall(Hcall::SetMode as u64, LITTLE_ENDIAN_INTERRUPTS);
    if let Err(error) = (HcallReturn { status, out }).ok() {
        return EsmError::InterruptOrder(error);
    }
    let len = size_of_val(&NOBODY_THERE);
    // SAFETY: the vector lies in low memory, which is RAM and nobody's by the caller's word.
    unsafe { postern_arch::copy_to_real(VECTOR, NOBODY_THERE.as_ptr().cast(), len) };
    postern_arch::sync_instructions(VECTOR, len);
    // SAFETY: the caller's promises are what `esm.S` needs; between undoing and redoing the relocations it
    // runs no other code.
    let r3 = unsafe { postern_enter_esm(base, fdt) };
    EsmError::Refused(UvStatus::of(Ultracall::Esm, r3))
}
