//! The hypervisor's terminal: bytes out and in by hcalls, 16 at a time (PAPR+ 14.5.4.2).
//!
//! A terminal that takes nothing must not hold the guest up, least of all when it reports why it ends.

use crate::clock::{Clock, Deadline};
use crate::hcall::{HcallError, calls};
use crate::lock::Lock;
use crate::platform::Hypervisor;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

/// How long a busy terminal is waited for. The wait is spent once: until the terminal takes something again,
/// what it does not take at the first try is dropped.
const PATIENCE: Duration = Duration::from_millis(200);

/// One hypervisor terminal.
#[derive(Debug)]
pub struct Terminal {
    number: AtomicU32,
    stuck: AtomicBool,
    typed: Lock<Typed>,
}

/// Bytes that arrived together and were not asked for yet.
#[derive(Debug)]
struct Typed {
    bytes: [u8; calls::TERMINAL_BYTES],
    next: usize,
    end: usize,
}

/// What the lock of typed bytes is called in errors.
const TYPED: &str = "keyboard";

const NOTHING: Typed = Typed { bytes: [0; calls::TERMINAL_BYTES], next: 0, end: 0 };

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// Terminal 0, which stands for the first there is (QEMU `hw/char/spapr_vty.c`).
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self::with(Lock::new(TYPED, NOTHING))
    }

    /// Terminal 0, which stands for the first there is.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self::with(Lock::new(TYPED, NOTHING))
    }

    const fn with(typed: Lock<Typed>) -> Self {
        Self { number: AtomicU32::new(0), stuck: AtomicBool::new(false), typed }
    }

    /// Takes the terminal's number from the device tree.
    pub fn set_number(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Writes what the terminal takes within a bound and drops the rest; false when something was dropped.
    pub fn write(&self, machine: &(impl Hypervisor + Clock), bytes: &[u8]) -> bool {
        let mut deadline = Deadline::after(machine, PATIENCE);
        for chunk in bytes.chunks(calls::TERMINAL_BYTES) {
            let number = self.number.load(Ordering::Relaxed);
            // Any other error is a terminal that is not there.
            while let Err(HcallError::Busy(_)) = calls::put_term_char(machine, number, chunk) {
                if self.stuck.load(Ordering::Relaxed) || deadline.expired(machine) {
                    self.stuck.store(true, Ordering::Relaxed);
                    return false;
                }
            }
            self.stuck.store(false, Ordering::Relaxed);
        }
        true
    }

    /// One byte that somebody typed, when there is one. At most 16 arrive together, whatever the hypervisor
    /// says; the rest of them is kept for the next call. Behind a CPU that stands still with them there is none.
    pub fn read(&self, machine: &(impl Hypervisor + Clock)) -> Option<u8> {
        let mut typed = self.typed.take(machine).ok()?;
        if typed.next >= typed.end {
            let number = self.number.load(Ordering::Relaxed);
            let (bytes, len) = calls::get_term_char(machine, number).ok()?;
            let end = usize::try_from(len).unwrap_or(calls::TERMINAL_BYTES).min(calls::TERMINAL_BYTES);
            *typed = Typed { bytes, next: 0, end };
        }
        if typed.next >= typed.end {
            return None;
        }
        let byte = typed.bytes.get(typed.next).copied();
        typed.next = typed.next.saturating_add(1);
        byte
    }
}
