//! Where output goes: the hypervisor's terminal, and a serial card when the command line asks for one.

use crate::platform::pseries::Pseries;
use crate::platform::uart;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use postern_core::clock::Deadline;
use postern_core::hcall::{Hcall, HcallError};
use postern_core::seam::Hypervisor;

/// Terminal 0 stands for the first vty (QEMU `hw/char/spapr_vty.c`), until the tree names one.
static TERMINAL: AtomicU64 = AtomicU64::new(0);

/// Output that the hypervisor does not take within this time is dropped: a console that is always busy
/// must not hold the guest up.
const PATIENCE: Duration = Duration::from_millis(200);
const CHUNK: usize = 16;

/// Takes the terminal's number from the device tree.
pub fn set_terminal(number: u32) {
    TERMINAL.store(u64::from(number), Ordering::Relaxed);
}

/// Writes `text` to every console, with carriage returns.
pub fn write(text: &str) {
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

/// One byte that a person or a script typed, when there is one. At most 16 arrive together; the rest of
/// them is kept for the next call.
pub fn read_byte() -> Option<u8> {
    static PENDING: spin::Mutex<([u8; CHUNK], usize, usize)> = spin::Mutex::new(([0; CHUNK], 0, 0));
    let mut pending = PENDING.lock();
    if pending.1 == pending.2 {
        let terminal = TERMINAL.load(Ordering::Relaxed);
        let [len, high, low, _] = Pseries.hcall(Hcall::GetTermChar, [terminal, 0, 0, 0]).ok().ok()?;
        let mut bytes = [0; CHUNK];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        *pending = (bytes, 0, (len as usize).min(CHUNK));
    }
    let (bytes, next, end) = &mut *pending;
    if *next == *end {
        return None;
    }
    *next += 1;
    bytes.get(*next - 1).copied()
}

fn put(bytes: &[u8]) {
    uart::put(bytes);
    let mut deadline = Deadline::after(&Pseries, PATIENCE);
    for chunk in bytes.chunks(CHUNK) {
        let mut packed = [0; CHUNK];
        packed[..chunk.len()].copy_from_slice(chunk);
        let packed = u128::from_be_bytes(packed);
        let args =
            [TERMINAL.load(Ordering::Relaxed), chunk.len() as u64, (packed >> 64) as u64, packed as u64];
        while let Err(HcallError::Busy(_)) = Pseries.hcall(Hcall::PutTermChar, args).ok() {
            if deadline.expired(&Pseries) {
                return;
            }
        }
    }
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
