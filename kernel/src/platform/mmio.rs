//! Device registers by H_LOGICAL_CI_LOAD and H_LOGICAL_CI_STORE: no MMIO instruction for an ultravisor to
//! decode, no cache attribute to get wrong in real mode, the same in a secure and an ordinary guest.

use crate::platform::pseries::Pseries;
use postern_core::addr::Gpa;
use postern_core::hcall::{HcallError, calls};
use postern_core::seam::{Barriers, Mmio, Width};

/// The hcall passes the value as a big-endian CPU sees the bytes; PCI registers are little-endian.
fn swap(value: u64, width: Width) -> u64 {
    match width {
        Width::W8 => value & 0xff,
        Width::W16 => u64::from((value as u16).swap_bytes()),
        Width::W32 => u64::from((value as u32).swap_bytes()),
        Width::W64 => value.swap_bytes(),
    }
}

impl Mmio for Pseries {
    fn load(&self, at: Gpa, width: Width) -> Result<u64, HcallError> {
        self.full_barrier();
        calls::logical_ci_load(self, width, at).map(|value| swap(value, width))
    }

    fn store(&self, at: Gpa, width: Width, value: u64) -> Result<(), HcallError> {
        self.full_barrier();
        // SAFETY: `at` comes from a BAR or from a bridge's window, which the tree's reader found to be outside
        // of all memory.
        unsafe { calls::logical_ci_store(self, width, at, swap(value, width)) }
    }
}
