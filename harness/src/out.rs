//! Standard output, whose reader may end at any time (`postern-harness test | head`).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static NO_READER: AtomicBool = AtomicBool::new(false);
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes a text. If the reader has ended, the text is lost and [`has_no_reader`] is true from then on.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        NO_READER.store(true, Ordering::Relaxed);
        if error.kind() != io::ErrorKind::BrokenPipe {
            // Only the first error is kept.
            let _ = LOST.set(error);
        }
    }
}

/// Whether standard output has no reader any more. This is checked without writing: a guest that serves may print nothing
/// for hours.
#[must_use]
pub fn has_no_reader() -> bool {
    NO_READER.load(Ordering::Relaxed) || has_left()
}

/// The error by which output was lost, such as a full disk; a reader's end is not one.
#[must_use]
pub fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

fn has_left() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::default())).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Writes a line to standard output like `println!`, but does not panic if the reader has ended.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($argument)*))) };
}
