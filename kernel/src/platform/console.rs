//! Where output goes: the hypervisor's terminal, and a serial card when the command line asks for one.

use crate::platform::pseries::Pseries;
use crate::platform::turns::Turns;
use crate::platform::uart;
use core::fmt;
use postern_core::terminal::Terminal;

static TERMINAL: Terminal = Terminal::new();
/// Who writes: what one CPU writes at once stays together.
static TURNS: Turns = Turns::new();

/// Takes the terminal's number from the device tree.
pub fn set_terminal(number: u32) {
    TERMINAL.set_number(number);
}

/// Writes `text` to every console, with carriage returns.
pub fn write(text: &str) {
    let _turn = TURNS.take();
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(body) => {
                put(body.as_bytes());
                put(b"\r\n");
            }
            None => put(line.as_bytes()),
        }
    }
}

/// One byte that a person or a script typed, when there is one.
pub fn read_byte() -> Option<u8> {
    TERMINAL.read(&Pseries)
}

fn put(bytes: &[u8]) {
    uart::put(bytes);
    TERMINAL.write(&Pseries, bytes);
}

/// The consoles as a [`fmt::Write`].
#[derive(Debug)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text);
        Ok(())
    }
}

/// Prints a line on the consoles, whatever the log level.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => {{
        use core::fmt::Write as _;
        // The console's writer never fails.
        let _ = writeln!($crate::platform::console::Console, $($arg)*);
    }};
}
