//! QEMU's aarch64 `virt` with `highmem=off`: its addresses, and the drivers' platform.

use crate::console::say;
use crate::memory::Bytes;
use core::arch::asm;
use core::panic::PanicInfo;
use papr::addr::{Gpa, GpaRange};
use papr::clock::Clock;
use papr::hcall::{Hcall, HcallError, HcallReturn};
use papr::parts::index;
use papr::platform::{Barriers, HaltReason, Hypervisor, Platform, Ultravisor, Width};
use papr::registers::Mmio;
use papr::registers::Register;
use papr::ultracall::Ultracall;
use virtio_pci::pci::windows::{Space, Window};

// QEMU `hw/arm/virt.c`, `base_memmap`. The image is linked 2 MiB above the start of RAM, and is much smaller than 14 MiB.
/// RAM that this guest uses: 64 MiB.
pub const RAM: GpaRange = range(0x4000_0000, 64 << 20);
/// The heap.
pub const HEAP: GpaRange = range(0x4100_0000, 16 << 20);
/// The pool.
pub const POOL: GpaRange = range(0x4200_0000, 4 << 20);
/// Config space of 16 buses.
pub const CONFIG_SPACE: GpaRange = range(0x3f00_0000, 16 << 20);
/// Addresses for BARs: the bus has the same addresses as the CPU.
pub const PCI_MEMORY: Window =
    Window { space: Space::Memory32, bus: 0x1000_0000, gpa: Gpa(0x1000_0000), len: 0x2eff_0000 };

const fn range(start: u64, len: u64) -> GpaRange {
    GpaRange { start: Gpa(start), len }
}

/// H_FUNCTION and U_FUNCTION: no such call.
const NO_SUCH_CALL: i64 = -2;

/// The machine: one value without state.
#[derive(Clone, Copy, Debug)]
pub struct Virt;

impl Hypervisor for Virt {
    unsafe fn hcall(&self, _: Hcall, _: [u64; 4]) -> HcallReturn {
        HcallReturn { status: NO_SUCH_CALL, out: [0; 4] }
    }
}

impl Ultravisor for Virt {
    unsafe fn ultracall(&self, call: Ultracall, [first, count]: [u64; 2]) -> i64 {
        if call != Ultracall::SharePage {
            return NO_SUCH_CALL;
        }
        // The host can access all memory, so sharing only fills frames with zeros.
        const FRAME: u64 = 1 << 16;
        // SAFETY: the caller owns the frames, which are RAM at its own address, and no reference to their bytes exists.
        unsafe { core::ptr::write_bytes((first * FRAME) as *mut u8, 0, index(count * FRAME)) };
        0
    }
}

impl Clock for Virt {
    fn now(&self) -> u64 {
        let ticks;
        // SAFETY: reads the virtual counter, and changes nothing.
        unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
        ticks
    }

    fn frequency(&self) -> u64 {
        let hertz: u64;
        // SAFETY: reads a register that the machine set at reset, and changes nothing.
        unsafe { asm!("mrs {}, cntfrq_el0", out(reg) hertz, options(nomem, nostack)) };
        hertz.max(1)
    }
}

// SAFETY: `dmb` orders memory accesses as seen by all observers of the outer shareable domain, which devices are part of;
// with `oshst` stores, with `oshld` loads and what follows them, with `sy` everything (Arm ARM, B2.3).
unsafe impl Barriers for Virt {
    fn write_barrier(&self) {
        // SAFETY: a barrier changes nothing.
        unsafe { asm!("dmb oshst", options(nostack)) };
    }

    fn read_barrier(&self) {
        // SAFETY: a barrier changes nothing.
        unsafe { asm!("dmb oshld", options(nostack)) };
    }

    fn full_barrier(&self) {
        // SAFETY: a barrier changes nothing.
        unsafe { asm!("dsb sy", options(nostack)) };
    }
}

// SAFETY: registers are mapped as device memory, where each access is made once and in order, and lie outside of RAM.
// QEMU's devices have taken a store when it retires; each access is between barriers.
unsafe impl Mmio for Virt {
    fn load(&self, register: Register) -> Result<u64, HcallError> {
        let at = register.gpa().0;
        self.full_barrier();
        // SAFETY: the register lies in a window of the bridge, which `Windows` compared with RAM, or in config space.
        let value = unsafe {
            match register.width() {
                Width::W8 => (at as *const u8).read_volatile().into(),
                Width::W16 => (at as *const u16).read_volatile().into(),
                Width::W32 => (at as *const u32).read_volatile().into(),
                Width::W64 => (at as *const u64).read_volatile(),
            }
        };
        self.full_barrier();
        Ok(value)
    }

    fn store(&self, register: Register, value: u64) -> Result<(), HcallError> {
        let at = register.gpa().0;
        self.full_barrier();
        // SAFETY: as for a load.
        unsafe {
            match register.width() {
                Width::W8 => (at as *mut u8).write_volatile(value as u8),
                Width::W16 => (at as *mut u16).write_volatile(value as u16),
                Width::W32 => (at as *mut u32).write_volatile(value as u32),
                Width::W64 => (at as *mut u64).write_volatile(value),
            }
        }
        self.full_barrier();
        Ok(())
    }
}

// SAFETY: RAM is mapped to its own address, so a buffer's address is where it lies.
unsafe impl Platform for Virt {
    type Memory = Bytes;

    fn allocate(&self, _: usize) -> Option<Bytes> {
        // A guest with a pool gives devices no other memory.
        None
    }

    fn gpa_of(&self, buffer: &mut [u8]) -> Gpa {
        Gpa(buffer.as_ptr().addr() as u64)
    }

    fn halt(&self, reason: HaltReason) -> ! {
        say!("halt={reason}");
        exit(4)
    }
}

/// Ends QEMU with a status, with semihosting's SYS_EXIT.
pub fn exit(status: u64) -> ! {
    const SYS_EXIT: u64 = 0x18;
    const APPLICATION_EXIT: u64 = 0x2_0026;
    let block = [APPLICATION_EXIT, status];
    loop {
        // SAFETY: a call to QEMU, which reads the block and ends.
        unsafe { asm!("hlt #0xf000", in("x0") SYS_EXIT, in("x1") &raw const block, options(nostack)) };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("panic={info}");
    exit(2)
}

/// The target of the vectors in `start.S`.
#[unsafe(no_mangle)]
extern "C" fn unexpected_exception(syndrome: u64, at: u64, address: u64) -> ! {
    say!("exception={syndrome:#x} at {at:#x}, address {address:#x}");
    exit(3)
}
