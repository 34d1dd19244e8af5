//! Device registers by H_LOGICAL_CI_LOAD and H_LOGICAL_CI_STORE: no MMIO instruction for an ultravisor to
//! decode, no cache attribute to get wrong in real mode, the same in a secure and an ordinary guest.

use crate::platform::pseries::Pseries;
use papr::hcall::{HcallError, calls};
use papr::parts::{low_u16, low_u32};
use papr::platform::{Barriers, Width};
use papr::registers::Mmio;
use papr::registers::Register;

/// The hcall passes the value as a big-endian CPU sees the bytes; PCI registers are little-endian.
fn swap(value: u64, width: Width) -> u64 {
    match width {
        Width::W8 => value & 0xff,
        Width::W16 => u64::from(low_u16(value).swap_bytes()),
        Width::W32 => u64::from(low_u32(value).swap_bytes()),
        Width::W64 => value.swap_bytes(),
    }
}

// SAFETY: each access is one call, between barriers, and the hypervisor makes it before it returns; what it refuses is an
// error. Whether the device tells the truth about itself is no promise of this kernel's.
unsafe impl Mmio for Pseries {
    fn load(&self, register: Register) -> Result<u64, HcallError> {
        let width = register.width();
        self.full_barrier();
        calls::logical_ci_load(self, width, register.gpa()).map(|value| swap(value, width))
    }

    fn store(&self, register: Register, value: u64) -> Result<(), HcallError> {
        let width = register.width();
        self.full_barrier();
        // SAFETY: a register lies wholly inside a window that `Windows::new` found to be outside of all memory of this
        // guest, and nothing else makes one. So the store changes no memory.
        unsafe { calls::logical_ci_store(self, width, register.gpa(), swap(value, width)) }
    }
}
