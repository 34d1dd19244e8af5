//! The machine, as the libraries see it: one value without state, which implements their traits by instructions and
//! calls. Its clock is in [`super::clock`], its memory and its halt in [`super::memory`].

use core::sync::atomic::{AtomicU64, Ordering};
use papr::addr::Gpa;
use papr::hcall::{Hcall, HcallReturn};
use papr::platform::{Barriers, BlobFiles, Hypervisor, Ultravisor};
use papr::ultracall::Ultracall;

/// The pseries machine.
#[derive(Clone, Copy, Debug)]
pub struct Pseries;

static ULTRACALLS: AtomicU64 = AtomicU64::new(0);
static HCALLS: AtomicU64 = AtomicU64::new(0);
/// Ultracalls made since boot.
pub fn ultracalls() -> u64 {
    ULTRACALLS.load(Ordering::Relaxed)
}

/// Hcalls made since boot, without those by which parked CPUs sleep.
pub fn hcalls() -> u64 {
    HCALLS.load(Ordering::Relaxed)
}

/// Counts an hcall that is about to be made.
pub fn count_hcall() {
    HCALLS.fetch_add(1, Ordering::Relaxed);
}

impl Hypervisor for Pseries {
    unsafe fn hcall(&self, call: Hcall, args: [u64; 4]) -> HcallReturn {
        count_hcall();
        // SAFETY: as the caller promises.
        let (status, out) = unsafe { postern_arch::hcall(call as u64, args) };
        HcallReturn { status, out }
    }
}

impl Ultravisor for Pseries {
    unsafe fn ultracall(&self, call: Ultracall, args: [u64; 2]) -> i64 {
        ULTRACALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { postern_arch::ultracall(call as u64, args) }
    }
}

impl BlobFiles for Pseries {
    fn get_file(&self, offset: u64, name: &[u64; 8], data: &mut [u8; 64]) -> i64 {
        ULTRACALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the number is the call's, and this kernel runs with MSR[RI] on wherever it makes a call.
        unsafe { postern_arch::get_file(Ultracall::EsmbGetFile as u64, offset, name, data) }
    }
}

// SAFETY: `lwsync` orders loads with loads and stores with stores, `sync` everything (Power ISA 3.1, book II, 4.6.3).
unsafe impl Barriers for Pseries {
    fn write_barrier(&self) {
        postern_arch::lwsync();
    }

    fn read_barrier(&self) {
        postern_arch::lwsync();
    }

    fn full_barrier(&self) {
        postern_arch::sync();
    }
}

/// The guest physical address of a byte. Real mode ignores the top four bits of an address, and the page tables map each
/// address to itself.
pub fn gpa(byte: *const u8) -> Gpa {
    Gpa(byte.expose_provenance() as u64 & 0x0fff_ffff_ffff_ffff)
}
