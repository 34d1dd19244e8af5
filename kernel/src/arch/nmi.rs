//! Handlers for system reset and machine check that the hypervisor is told of (`ibm,nmi-register`). Both end in the
//! report of every other exception; without them the same interrupts arrive at 0x100 and 0x200, without an error log.

use crate::memory::layout;
use crate::platform::rtas;
use papr::addr::{Gpa, GpaRange};
use papr::parts::index;
use postern_core::nmi::{SAVED_BYTES, Saved, place};
use spin::Once;

/// Where `boot/src/vectors.S` has them.
const RESET: u32 = 0x1c00;
const CHECK: u32 = 0x1c20;
/// End of the frame that holds the exception vectors.
const LOW_MEMORY: u64 = 0x1_0000;

/// The RTAS area, where the hypervisor leaves the interrupted r3 and its error log once the handlers are registered.
static AREA: Once<GpaRange> = Once::new();

/// Who gets to know of a system reset or machine check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handlers {
    /// The registered handlers, and the RTAS area holds what the hypervisor has to say.
    Registered(GpaRange),
    /// The vectors, as for any exception: there is no RTAS area, or the hypervisor does not want to know.
    Vectors,
}

/// Registers the handlers, which are in low memory. `area` overlaps nothing of ours, by the
/// memory map.
pub fn register(area: Option<GpaRange>) -> Handlers {
    let Some(area) = area else { return Handlers::Vectors };
    let low = GpaRange { start: Gpa(0), len: LOW_MEMORY };
    if area.overlaps(&layout::image()) || area.overlaps(&low) {
        log::warn!("nmi: the RTAS area at {:#x} is not the hypervisor's to write to", area.start.0);
        return Handlers::Vectors;
    }
    // Known before the first can come.
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

/// What the hypervisor saved where `r3` points, if that is a place for it.
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
