//! Standard output, whose reader may leave at any time (`postern-harness test | head`).

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static UNHEARD: AtomicBool = AtomicBool::new(false);

/// Writes this; what nobody reads any more is lost, and [`is_unheard`] from then on.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    if out.write_fmt(text).and_then(|()| out.flush()).is_err() {
        UNHEARD.store(true, Ordering::Relaxed);
    }
}

/// Whether nobody reads standard output.
#[must_use]
pub fn is_unheard() -> bool {
    UNHEARD.load(Ordering::Relaxed)
}

/// Writes a line to standard output, as `println!` does, but does not panic when nobody reads it.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($argument)*))) };
}
