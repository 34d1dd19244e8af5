//! The traits between decisions and hardware. The kernel implements them with instructions and calls, tests with models
//! of an honest or a hostile machine.

#![allow(unsafe_code, reason = "raw calls are `unsafe fn`; one typed function per call stands before each")]

use crate::addr::Gpa;
use crate::hcall::{Hcall, HcallReturn};
use crate::rtas::{RtasError, Service};
use crate::ultracall::Ultracall;
use core::fmt;
use thiserror::Error;

/// The hypervisor, through `sc 1`. [`crate::hcall::calls`] has a typed function for each call.
pub trait Hypervisor {
    /// Makes one hcall. The answer is not validated.
    ///
    /// # Safety
    /// The call changes no memory that Rust code relies on and gives no device access to memory; or the caller owns the
    /// memory that the arguments name.
    unsafe fn hcall(&self, call: Hcall, args: [u64; 4]) -> HcallReturn;
}

/// The ultravisor, through `sc 2`.
pub trait Ultravisor {
    /// Makes one ultracall and returns r3, not validated.
    ///
    /// # Safety
    /// The caller owns every frame that the arguments name, and no reference to its bytes exists: the call
    /// zeroes frames.
    unsafe fn ultracall(&self, call: Ultracall, args: [u64; 2]) -> i64;
}

/// The files of the ESM blob, through UV_ESMB_GET_FILE. [`crate::ultracall::file`] reads them.
pub trait BlobFiles {
    /// Makes one call for a file's bytes from `offset` on. `name` is the argument registers, most significant byte
    /// first; `data` receives the answer's registers in that order. Returns r3, not validated. The implementation keeps
    /// no part of the answer in any register or memory.
    fn get_file(&self, offset: u64, name: &[u64; 8], data: &mut [u8; 64]) -> i64;
}

/// Run-time abstraction services, through H_RTAS.
pub trait Rtas {
    /// Calls a service by its token in the tree, and copies `rets.len()` return words, without the status word. Busy
    /// answers have been retried, within a bound.
    ///
    /// # Errors
    /// The status, or why no call was made.
    fn rtas(&self, service: Service, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError>;
}

/// Bytes in one access to a register or to config space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 1 byte
    W8,
    /// 2 bytes
    W16,
    /// 4 bytes
    W32,
    /// 8 bytes
    W64,
}

impl Width {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::W8 => 1,
            Self::W16 => 2,
            Self::W32 => 4,
            Self::W64 => 8,
        }
    }
}

/// Memory that a device may read and write at any moment. A handle, cheap to clone; no reference to the
/// bytes can be had, only copies in and out, each byte accessed once.
///
/// An access that is not wholly inside is refused: reads leave `out` zeroed, loads return 0, writes do nothing. Callers
/// compute offsets from their own private numbers, so a refusal is a bug of the caller; implementations report it in
/// debug builds.
///
/// # Implementation safety
/// As long as the piece or any clone or part of it lives, no Rust reference points to its bytes and nothing else uses
/// them. [`Self::gpa`] and [`Self::len`] name exactly those bytes: devices are told to write there. No call touches a
/// byte outside.
pub unsafe trait DeviceMemory: Clone + fmt::Debug {
    /// Length of this piece in bytes.
    fn len(&self) -> usize;
    /// Whether the piece has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The guest physical address of the first byte.
    fn gpa(&self) -> Gpa;
    /// A part of this piece; `None` when it is not wholly inside.
    fn part(&self, offset: usize, len: usize) -> Option<Self>;
    /// Copies out, into private memory.
    fn read(&self, offset: usize, out: &mut [u8]);
    /// Copies in, from private memory.
    fn write(&self, offset: usize, data: &[u8]);
    /// Writes `len` zeros from `offset` on.
    fn zero(&self, offset: usize, len: usize);
    /// Copies out, into private memory, and zeroes the bytes that it read.
    fn take(&self, offset: usize, out: &mut [u8]) {
        self.read(offset, out);
        self.zero(offset, out.len());
    }
    /// One little-endian 16-bit load at an even offset.
    fn load16(&self, offset: usize) -> u16;
    /// One little-endian 32-bit load at an offset divisible by 4.
    fn load32(&self, offset: usize) -> u32;
    /// Two loads as by [`Self::load32`], at `offset` (divisible by 8) and 4 bytes after it; or one 64-bit load of both.
    fn load_pair(&self, offset: usize) -> [u32; 2] {
        [self.load32(offset), self.load32(offset.wrapping_add(4))]
    }
    /// One little-endian 16-bit store at an even offset.
    fn store16(&self, offset: usize, value: u16);
    /// One little-endian 32-bit store at an offset divisible by 4.
    fn store32(&self, offset: usize, value: u32);
    /// One little-endian 64-bit store at an offset divisible by 8.
    fn store64(&self, offset: usize, value: u64);
    /// Two stores as by [`Self::store64`], at `offset` and 8 bytes after it.
    fn store_pair(&self, offset: usize, [low, high]: [u64; 2]) {
        self.store64(offset, low);
        self.store64(offset.wrapping_add(8), high);
    }
}

/// Orders accesses to [`DeviceMemory`] as seen by a device.
///
/// # Implementation safety
/// Each method orders accesses as it says. Drivers rely on it: they return a buffer after they read the ring's index,
/// and the device of a normal guest wrote the buffer before the index.
pub unsafe trait Barriers {
    /// Stores before it are seen before stores after it (`lwsync`).
    fn write_barrier(&self);
    /// Loads before it are done before loads after it (`lwsync`).
    fn read_barrier(&self);
    /// Everything before it is done before everything after it (`sync`).
    fn full_barrier(&self);
}

/// Why the kernel must stop: confidentiality or memory integrity cannot be promised any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HaltReason {
    /// In secure mode an address outside the shared pool was about to reach a device.
    #[error("address outside the shared pool about to reach a device: {bus:#x}+{len:#x}")]
    AddressOutsidePool {
        /// The address, as the device would have seen it.
        bus: u64,
        /// Length in bytes.
        len: u64,
    },
}

/// What DMA and the drivers need of the machine they run on.
///
/// # Implementation safety
/// [`Self::gpa_of`] names the buffer's own bytes: a device is told to write there.
pub unsafe trait Platform: Hypervisor + Barriers + crate::clock::Clock {
    /// This machine's device-visible memory.
    type Memory: DeviceMemory;

    /// Private memory that a device will use directly: zeroed, aligned to 4 KiB and contiguous. Called in normal mode
    /// only. The memory is freed when the last handle is dropped. `None` if there is not enough.
    fn allocate(&self, len: usize) -> Option<Self::Memory>;
    /// Where a private buffer lies; buffers are contiguous in guest physical memory.
    fn gpa_of(&self, buffer: &mut [u8]) -> Gpa;
    /// Called when a device may have written `buffer` in place, before the driver reads it: the bytes changed behind
    /// the compiler's back.
    fn device_wrote(&self, buffer: &mut [u8]) {
        core::hint::black_box(buffer);
    }
    /// Ends the run: see [`HaltReason`].
    fn halt(&self, reason: HaltReason) -> !;
}
