//! Ultracalls (`sc 2`): numbers and the meaning of r3 afterwards.
//!
//! Source: open-power/ultravisor `include/uapi_uvcall.h`, `core/uvcall.c`; Linux
//! `arch/powerpc/include/asm/ultravisor-api.h`.

pub mod file;
mod status;

pub use status::UvStatus;

/// The ultracalls that have a name here. Postern makes all of them but UV_UNSHARE_ALL_PAGES: it shares its pool for
/// good, and unshares only what it shared to prove that memory is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Ultracall {
    /// Kernel base, address of the device tree: become a secure VM.
    Esm = 0xf110,
    /// First frame, number of frames: give the hypervisor access; zeroes the frames.
    SharePage = 0xf130,
    /// First frame, number of frames: withdraw the access; zeroes the frames.
    UnsharePage = 0xf134,
    /// No arguments: withdraw the access to everything that is shared.
    UnshareAllPages = 0xf140,
    /// Offset, file name in eight registers: see [`mod@file`].
    EsmbGetFile = 0xf14c,
}
