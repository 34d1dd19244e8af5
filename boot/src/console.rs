//! Prints the boot stage's lines on the hypervisor's terminal.

use core::fmt::{self, Write};
use papr::hcall::Hcall;
use papr::text::SingleLine;

/// Number 0 stands for the first terminal (QEMU `hw/char/spapr_vty.c`); the tree is not read yet.
const FIRST_TERMINAL: u64 = 0;
/// Bytes of one H_PUT_TERM_CHAR.
const CHUNK: usize = 16;
/// Calls to a full terminal before its bytes are dropped.
const TIMEOUT: u32 = 100_000;
const H_BUSY: i64 = 1;

/// The terminal. Writing never fails: what it does not take is lost.
struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put(text.as_bytes());
        Ok(())
    }
}

/// Writes `text`, which stays on one line, and ends the line.
pub fn print_line(text: fmt::Arguments<'_>) {
    // The console's writer never fails.
    let _ = SingleLine(Console).write_fmt(text);
    put(b"\r\n");
}

fn put(bytes: &[u8]) {
    for chunk in bytes.chunks(CHUNK) {
        let mut packed = [0; CHUNK];
        for (into, byte) in packed.iter_mut().zip(chunk) {
            *into = *byte;
        }
        let ([high, low], _) = packed.as_chunks::<8>() else { return };
        let args = [FIRST_TERMINAL, chunk.len() as u64, u64::from_be_bytes(*high), u64::from_be_bytes(*low)];
        for _ in 0..TIMEOUT {
            // SAFETY: the bytes go in registers.
            let (status, _) = unsafe { postern_arch::hcall(Hcall::PutTermChar as u64, args) };
            if status != H_BUSY {
                break;
            }
        }
    }
}

/// Prints a line.
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::console::print_line(format_args!($($arg)*))
    };
}
pub(crate) use say;
