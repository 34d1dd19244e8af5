//! Where output goes: the hypervisor's terminal, and a serial card when the command line asks for one.

use crate::platform::pseries::Pseries;
use crate::platform::uart;
use core::fmt::{self, Write};
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};
use papr::lock::{Guard, Lock};
use papr::terminal::Terminal;
use papr::text::{SingleLine, is_plain};
use postern_core::monitor::editor::Draw;

/// Most typed bytes that one look takes.
const TYPED_AT_ONCE: usize = 1024;

static TERMINAL: Terminal = Terminal::new();
/// Keeps the text that one CPU writes at once together. A stopped CPU that holds it does not keep others from writing.
static WRITING: Lock<()> = Lock::new("console", ());

/// Set before the last line is printed: nothing may follow it.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether the last line is one that a person edits: whoever else writes begins a line of its own.
static EDITED: AtomicBool = AtomicBool::new(false);

/// Whether the console is closed: [`print_last_line`] or `halt` (`boot/src/vectors.S`) wrote the last line.
fn is_closed() -> bool {
    CLOSED.load(Ordering::Acquire) || postern_arch::last_line_is_claimed()
}

/// Takes the console's lock. `None` if the current CPU holds it already, because it reports a failure in the middle of
/// its output, or if a stopped CPU holds it: then the caller writes without the lock.
fn turn() -> Option<Guard<'static, ()>> {
    if WRITING.is_held_here(&Pseries) { None } else { WRITING.take(&Pseries).ok() }
}

/// Sets the terminal's number, from the device tree.
pub fn set_terminal(number: u32) {
    TERMINAL.set_number(number);
}

/// Writes `text` to every console, with carriage returns. Other control characters, and bytes that are not ASCII, become
/// `?`; callers with such text escape it first.
pub fn write(text: &str) {
    let _guard = turn();
    if !is_closed() {
        put_lines(text);
    }
}

fn put_lines(text: &str) {
    if EDITED.swap(false, Ordering::Relaxed) {
        put(b"\r\n");
    }
    for line in text.split_inclusive('\n') {
        let (body, end) = match line.strip_suffix('\n') {
            Some(body) => (body, &b"\r\n"[..]),
            None => (line, &[][..]),
        };
        for piece in body.as_bytes().chunk_by(|one, other| is_plain(*one) == is_plain(*other)) {
            if piece.first().is_some_and(|byte| is_plain(*byte)) {
                put(piece);
            } else {
                piece.iter().for_each(|_| put(b"?"));
            }
        }
        put(end);
    }
}

/// Whether the last line is still the one that the line editor drew: nothing was printed since.
pub fn is_edited() -> bool {
    EDITED.load(Ordering::Relaxed)
}

/// Draws for the line editor. No other function prints characters that move the cursor.
pub fn draw(draw: Draw<'_>) {
    let _guard = turn();
    if is_closed() {
        return;
    }
    match draw {
        Draw::Bell => {}
        Draw::NewLine => EDITED.store(false, Ordering::Relaxed),
        _ => EDITED.store(true, Ordering::Relaxed),
    }
    match draw {
        Draw::Text(text) => {
            text.iter().for_each(|byte| put(if is_plain(*byte) { slice::from_ref(byte) } else { b"?" }))
        }
        Draw::Left(by) => (0..by).for_each(|_| put(b"\x08")),
        Draw::ClearToEnd => put(b"\x1b[K"),
        Draw::NewLine => put(b"\r\n"),
        // A terminal may take a bell for the end of a window title, so keys without effect stay silent.
        Draw::Bell => {}
    }
}

/// The bytes that were typed so far, at most [`TYPED_AT_ONCE`]: a host that types without end does not block the guest.
pub fn typed() -> impl Iterator<Item = u8> {
    core::iter::from_fn(|| TERMINAL.read(&Pseries)).take(TYPED_AT_ONCE)
}

fn put(bytes: &[u8]) {
    uart::put(bytes);
    TERMINAL.write(&Pseries, bytes);
}

/// Writes `text`, which stays on one line, and ends the line.
pub fn print_line(text: fmt::Arguments<'_>) {
    let _guard = turn();
    if !is_closed() {
        put_line(text);
    }
}

/// As [`print_line`], and nothing is printed after it. A CPU that takes over from a stopped one may print it again; no CPU
/// prints it after `halt` (`boot/src/vectors.S`) has claimed the last line.
pub fn print_last_line(text: fmt::Arguments<'_>) {
    let _guard = turn();
    CLOSED.store(true, Ordering::Release);
    if postern_arch::claim_last_line() {
        put_line(text);
    }
}

fn put_line(text: fmt::Arguments<'_>) {
    // The console's writer never fails.
    let _ = SingleLine(Console).write_fmt(text);
    put_lines("\n");
}

/// All consoles, as a [`fmt::Write`]. The caller has called [`turn`].
#[derive(Debug)]
struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put_lines(text);
        Ok(())
    }
}

/// Prints a line on the consoles, whatever the log level.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => {
        $crate::platform::console::print_line(format_args!($($arg)*))
    };
}
