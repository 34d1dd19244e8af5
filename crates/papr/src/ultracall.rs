//! Ultracalls (`sc 2`): numbers and the meaning of r3 afterwards.
//!
//! Source: open-power/ultravisor `include/uapi_uvcall.h`, `core/uvcall.c`; Linux
//! `arch/powerpc/include/asm/ultravisor-api.h`.

mod status;

pub use status::UvStatus;

/// The ultracalls that have a name here. Postern makes all but the last: it shares its pool for good, and
/// unshares only what it shared to prove that memory is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Ultracall {
    /// kernel base, FDT: become a secure VM
    Esm = 0xf110,
    /// gfn, count
    SharePage = 0xf130,
    /// gfn, count
    UnsharePage = 0xf134,
    /// no arguments
    UnshareAllPages = 0xf140,
}
