//! Ctrl-C and its relatives: the signal only sets a mark; whoever waits looks at the mark, takes its machine
//! down and returns.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static MARK: OnceLock<Arc<AtomicBool>> = OnceLock::new();

fn mark() -> &'static Arc<AtomicBool> {
    MARK.get_or_init(Arc::default)
}

/// From here on SIGINT, SIGTERM and SIGHUP set the mark. The second signal of a kind ends the process at
/// once, for a person who does not want to wait.
///
/// # Errors
/// What the system said.
pub fn watch() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Registered in this order, the first arrival finds the mark unset.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(mark()))?;
        signal_hook::flag::register(signal, Arc::clone(mark()))?;
    }
    Ok(())
}

/// Whether somebody asked to stop.
#[must_use]
pub fn requested() -> bool {
    mark().load(Ordering::Relaxed)
}
