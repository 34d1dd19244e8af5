//! Standard output, whose reader may leave at any time (`postern-harness test | head`).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static UNHEARD: AtomicBool = AtomicBool::new(false);
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes this; what nobody reads any more is lost, and [`is_unheard`] from then on.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        UNHEARD.store(true, Ordering::Relaxed);
        if error.kind() != io::ErrorKind::BrokenPipe {
            // The first reason is the one that is told.
            let _ = LOST.set(error);
        }
    }
}

/// Whether nobody reads standard output. Its reader is looked for: a guest that serves says nothing for hours.
#[must_use]
pub fn is_unheard() -> bool {
    UNHEARD.load(Ordering::Relaxed) || has_left()
}

/// Why some of what was said is lost, but for a reader that left: a full disk, for one.
#[must_use]
pub fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

fn has_left() -> bool {
    let stdout = io::stdout();
    let mut looked = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut looked, Some(&Timespec::default())).is_ok()
        && looked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Writes a line to standard output, as `println!` does, but does not panic when nobody reads it.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($argument)*))) };
}
