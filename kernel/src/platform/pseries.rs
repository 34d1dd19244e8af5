//! This machine, as the libraries see it: one value without state, through which every instruction and call goes.

use crate::memory::device::DeviceBytes;
use crate::platform::{interrupts, power};
use core::sync::atomic::{AtomicU64, Ordering};
use papr::addr::Gpa;
use papr::clock::{Clock, Wake};
use papr::hcall::{Hcall, HcallReturn};
use papr::platform::{Barriers, BlobFiles, HaltReason, Hypervisor, Platform, Ultravisor};
use papr::ultracall::Ultracall;
use postern_core::exit::ExitStatus;

/// The pseries machine.
#[derive(Clone, Copy, Debug)]
pub struct Pseries;

/// What every POWER9 pseries has, until the tree says what this one has.
const USUAL_TIMEBASE_HZ: u64 = 512_000_000;

static TIMEBASE_HZ: AtomicU64 = AtomicU64::new(USUAL_TIMEBASE_HZ);
static ULTRACALLS: AtomicU64 = AtomicU64::new(0);
static HCALLS: AtomicU64 = AtomicU64::new(0);
/// Turns of loops in which a CPU waits; one that two CPUs count at once may be lost.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// Takes the timebase frequency from the device tree; 0 is not believed.
pub fn set_timebase_hz(hz: u64) {
    if hz != 0 {
        TIMEBASE_HZ.store(hz, Ordering::Relaxed);
    }
}

/// Ultracalls made since boot.
pub fn ultracalls() -> u64 {
    ULTRACALLS.load(Ordering::Relaxed)
}

/// Hcalls made since boot, without those by which parked CPUs sleep.
pub fn hcalls() -> u64 {
    HCALLS.load(Ordering::Relaxed)
}

/// A number that changes whenever a CPU that is not parked does something.
pub fn acts() -> u64 {
    hcalls().wrapping_add(ultracalls()).wrapping_add(TURNS.load(Ordering::Relaxed))
}

/// Counts one that is about to be made.
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

impl Clock for Pseries {
    fn now(&self) -> u64 {
        postern_arch::timebase()
    }

    fn frequency(&self) -> u64 {
        TIMEBASE_HZ.load(Ordering::Relaxed)
    }

    fn relax(&self) {
        TURNS.store(TURNS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        postern_arch::relax();
    }

    fn idle(&self, until: u64) -> Wake {
        interrupts::idle(until)
    }

    fn sleep_price(&self) -> u64 {
        interrupts::sleep_price()
    }

    #[inline]
    fn here(&self) -> u64 {
        // Each CPU has an exception stack of its own.
        postern_arch::exception_stack() | 1
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

/// Where a byte lies. Real mode, and later a linear map: the top four bits of an address are not part of it.
pub fn gpa(byte: *const u8) -> Gpa {
    Gpa(byte.expose_provenance() as u64 & 0x0fff_ffff_ffff_ffff)
}

// SAFETY: in real mode an address of this CPU is a guest physical one but for its top four bits, and the page tables that
// are used later map each address to itself: `gpa_of` names the buffer's own bytes.
unsafe impl Platform for Pseries {
    type Memory = DeviceBytes;

    fn allocate(&self, len: usize) -> Option<DeviceBytes> {
        DeviceBytes::allocate(len)
    }

    fn gpa_of(&self, buffer: &mut [u8]) -> Gpa {
        gpa(buffer.as_mut_ptr())
    }

    fn halt(&self, reason: HaltReason) -> ! {
        crate::devices::bus_masters::disable_all();
        log::error!("HALT: {reason}");
        power::exit(ExitStatus::ConfidentialityHalt)
    }
}
