//! Ctrl-C and other signals that end a run: the handler only sets a flag; waiting code checks the flag, ends its machine
//! and returns.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static MARK: OnceLock<Arc<AtomicBool>> = OnceLock::new();

fn mark() -> &'static Arc<AtomicBool> {
    MARK.get_or_init(Arc::default)
}

/// From here on SIGINT, SIGTERM and SIGHUP set the flag. Further signals change nothing: the program ends soon, and one
/// request often arrives twice, from the terminal and through make.
///
/// # Errors
/// The system's error.
pub fn watch() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(mark()))?;
    }
    Ok(())
}

/// Whether a signal asked the program to stop.
#[must_use]
pub fn requested() -> bool {
    mark().load(Ordering::Relaxed)
}
