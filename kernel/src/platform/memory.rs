//! Memory for devices, and the end of a run whose memory cannot be kept private.

use crate::devices::bus_masters;
use crate::memory::device::DeviceBytes;
use crate::platform::power;
use crate::platform::pseries::{Pseries, gpa};
use papr::addr::Gpa;
use papr::platform::{HaltReason, Platform};
use postern_core::exit::ExitStatus;

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
        bus_masters::disable_all();
        log::error!("HALT: {reason}");
        power::exit(ExitStatus::ConfidentialityHalt)
    }
}
