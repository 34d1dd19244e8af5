//! UV_ESM: turns this VM into a secure one. The image's memory must equal the file then.

use papr::ultracall::{Ultracall, UvStatus};
use thiserror::Error;

unsafe extern "C" {
    /// Defined in `esm.S`.
    fn postern_enter_esm(base: usize, fdt: usize) -> i64;
}

/// UV_ESM came back: the VM is not secure.
#[derive(Clone, Copy, Debug, Error)]
#[error("UV_ESM failed: {0}")]
pub struct EsmError(UvStatus);

/// Issues UV_ESM for the image at `base` and the device tree at `fdt`. On success the image is entered again.
///
/// # Safety
/// The image is at `base`, nothing that its file holds has been changed but by relocation, the tree is in
/// memory of ours outside the file's bytes, and the vectors of `vectors.S` are in low memory.
pub unsafe fn enter(base: usize, fdt: usize) -> EsmError {
    // SAFETY: the caller's promises are what `esm.S` needs. Undoing relocation restores the file's bytes, and no other
    // code runs until relocation is done again. The vector at 0xc00 answers an `sc 2` that no ultravisor takes.
    let r3 = unsafe { postern_enter_esm(base, fdt) };
    EsmError(UvStatus::of(Ultracall::Esm, r3))
}
