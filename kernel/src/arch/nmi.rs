//! Registers handlers for system reset and machine check with the hypervisor (`ibm,nmi-register`). Both end in the
//! common exception report. Without them the same interrupts arrive at 0x100 and 0x200, without an error log.

use crate::memory::layout;
use crate::platform::rtas;
use papr::addr::{Gpa, GpaRange};
use papr::parts::index;
use postern_core::nmi::{SAVED_BYTES, Saved, place};
use spin::Once;

/// Addresses of the handlers in `boot/src/vectors.S`.
const RESET: u32 = 0x1c00;
const CHECK: u32 = 0x1c20;
/// End of the frame that holds the exception vectors.
const LOW_MEMORY: u64 = 0x1_0000;

/// The RTAS area, where the hypervisor leaves the interrupted r3 and its error log once the handlers are registered.
static AREA: Once<GpaRange> = Once::new();

/// Who handles a system reset or machine check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handlers {
    /// The registered handlers; the hypervisor writes r3 and an error log into this RTAS area.
    Registered(GpaRange),
    /// The vectors, as for any exception: there is no RTAS area, or the hypervisor refused the registration.
    Vectors,
}

/// Registers the handlers, which are in low memory. The memory map has checked that `area` overlaps nothing of ours.
pub fn register(area: Option<GpaRange>) -> Handlers {
    let Some(area) = area else { return Handlers::Vectors };
    let low = GpaRange { start: Gpa(0), len: LOW_MEMORY };
    if area.overlaps(&layout::image()) || area.overlaps(&low) {
        log::warn!("nmi: the RTAS area at {:#x} is not the hypervisor's to write to", area.start.0);
        return Handlers::Vectors;
    }
    // Set before the first such interrupt can arrive.
    AREA.call_once(|| area);
    // SAFETY: both are handlers in the vectors' frame, which survive whatever they interrupt.
    match unsafe { rtas::nmi_register(RESET, CHECK) } {
        Ok(()) => Handlers::Registered(area),
        Err(error) => {
            log::info!("nmi: ibm,nmi-register: {error}");
            Handlers::Vectors
        }
    }
}

/// Reads what the hypervisor saved at `r3`; `None` if that is no place in the RTAS area for it.
pub fn saved(r3: u64) -> Option<Saved> {
    let at = place(r3, *AREA.get()?)?;
    let mut bytes = [0; SAVED_BYTES];
    for (offset, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: the place lies in the RTAS area, which is RAM that the kernel never uses; exceptions are reported
        // with translation off, so that it need not be mapped. Volatile, since the hypervisor wrote it.
        *byte = unsafe { (index(at.0).wrapping_add(offset) as *const u8).read_volatile() };
    }
    Some(Saved::read(bytes))
}
