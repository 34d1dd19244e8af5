//! This machine, as `core` sees it: one value without state, through which every instruction and call goes.

use crate::memory::device::DeviceBytes;
use crate::platform::{interrupts, power};
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::sync::atomic::{AtomicU64, Ordering};
use postern_core::addr::{Gpa, GpaRange};
use postern_core::clock::{Clock, Wake};
use postern_core::exit::ExitStatus;
use postern_core::hcall::{Hcall, HcallReturn};
use postern_core::seam::{Barriers, HaltReason, Hypervisor, Platform, Ultravisor};
use postern_core::ultracall::Ultracall;

/// The pseries machine.
#[derive(Clone, Copy, Debug)]
pub struct Pseries;

/// What every POWER9 pseries has, until the tree says what this one has.
const USUAL_TIMEBASE_HZ: u64 = 512_000_000;

static TIMEBASE_HZ: AtomicU64 = AtomicU64::new(USUAL_TIMEBASE_HZ);
static ULTRACALLS: AtomicU64 = AtomicU64::new(0);
static HCALLS: AtomicU64 = AtomicU64::new(0);

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

/// Hcalls made since boot.
pub fn hcalls() -> u64 {
    HCALLS.load(Ordering::Relaxed)
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

impl Clock for Pseries {
    fn now(&self) -> u64 {
        postern_arch::timebase()
    }

    fn frequency(&self) -> u64 {
        TIMEBASE_HZ.load(Ordering::Relaxed)
    }

    fn relax(&self) {
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

impl Barriers for Pseries {
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

const PAGE: usize = 4096;

fn page_layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len.checked_next_multiple_of(PAGE)?, PAGE).ok()
}

impl Platform for Pseries {
    type Memory = DeviceBytes;

    fn allocate(&self, len: usize) -> Option<DeviceBytes> {
        if len == 0 {
            return None;
        }
        let layout = page_layout(len)?;
        // SAFETY: the layout has a size of at least one page.
        let block = unsafe { alloc_zeroed(layout) };
        if block.is_null() {
            return None;
        }
        // SAFETY: the block was just allocated and is known to nobody else; it goes back in `release`.
        Some(unsafe { DeviceBytes::new(GpaRange { start: Gpa(block as u64), len: len as u64 }) })
    }

    fn release(&self, memory: DeviceBytes) {
        use postern_core::seam::DeviceMemory;
        if let Some(layout) = page_layout(memory.len()) {
            // SAFETY: `release` is given what `allocate` gave, whose layout followed from its length.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
    }

    fn gpa_of(&self, buffer: &[u8]) -> Gpa {
        // Real mode, and later a linear map: the top four bits of an address are not part of it.
        Gpa(buffer.as_ptr().expose_provenance() as u64 & 0x0fff_ffff_ffff_ffff)
    }

    fn halt(&self, reason: HaltReason) -> ! {
        crate::devices::masters::silence();
        log::error!("HALT: {reason}");
        power::exit(ExitStatus::ConfidentialityHalt)
    }
}
