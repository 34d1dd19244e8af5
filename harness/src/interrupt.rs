//! Ctrl-C and its relatives: the signal only sets a mark; whoever waits looks at the mark, takes its machine
//! down and returns.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static MARK: OnceLock<Arc<AtomicBool>> = OnceLock::new();

fn mark() -> &'static Arc<AtomicBool> {
    MARK.get_or_init(Arc::default)
}

/// From here on SIGINT, SIGTERM and SIGHUP set the mark. More of them change nothing: the way down is short,
/// and one request often arrives twice, from the terminal and through make.
///
/// # Errors
/// What the system said.
pub fn watch() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(mark()))?;
    }
    Ok(())
}

/// Whether somebody asked to stop.
#[must_use]
pub fn requested() -> bool {
    mark().load(Ordering::Relaxed)
}
