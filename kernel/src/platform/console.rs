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

/// Bytes taken of what was typed in one look.
const LOOK: usize = 1024;

static TERMINAL: Terminal = Terminal::new();
/// What one CPU writes at once stays together, unless the CPU that wrote before stands still.
static WRITING: Lock<()> = Lock::new("console", ());

/// The last line is out, or about to be: nothing follows it, whatever another CPU is still at.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether the console is closed: [`print_last_line`] or `halt` (`boot/src/vectors.S`) wrote the last line.
fn is_closed() -> bool {
    CLOSED.load(Ordering::Acquire) || postern_arch::last_line_is_claimed()
}

/// Waits for its turn. A CPU that has it is here again because it reports a failure. Nobody goes without output because
/// another one stands still.
fn turn() -> Option<Guard<'static, ()>> {
    if WRITING.is_held_here(&Pseries) { None } else { WRITING.take(&Pseries).ok() }
}

/// Takes the terminal's number from the device tree.
pub fn set_terminal(number: u32) {
    TERMINAL.set_number(number);
}

/// Writes `text` to every console, with carriage returns. Other control characters, and what is not ASCII, become `?`:
/// whoever may have such text escapes it before.
pub fn write(text: &str) {
    let _guard = turn();
    if !is_closed() {
        put_lines(text);
    }
}

fn put_lines(text: &str) {
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

/// Does what the editor of a line asks for: the one way in which characters get out that move a cursor.
pub fn draw(draw: Draw<'_>) {
    let _guard = turn();
    if is_closed() {
        return;
    }
    match draw {
        Draw::Text(text) => {
            text.iter().for_each(|byte| put(if is_plain(*byte) { slice::from_ref(byte) } else { b"?" }))
        }
        Draw::Left(by) => (0..by).for_each(|_| put(b"\x08")),
        Draw::ClearToEnd => put(b"\x1b[K"),
        Draw::NewLine => put(b"\r\n"),
        // A terminal may take a bell for the end of a title: keys that do nothing stay silent.
        Draw::Bell => {}
    }
}

/// What a person or a script has typed so far, at most [`LOOK`] bytes of it: a host that never stops typing holds nobody
/// up.
pub fn typed() -> impl Iterator<Item = u8> {
    core::iter::from_fn(|| TERMINAL.read(&Pseries)).take(LOOK)
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

/// As [`print_line`], and nobody writes after it. A CPU that takes over from one that stands still may do it again;
/// none does after an interrupt that could not be survived has said how the run ends.
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

/// The consoles as a [`fmt::Write`], for whoever may write.
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
