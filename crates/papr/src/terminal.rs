//! The hypervisor's terminal: bytes out and in by hcalls, 16 at a time (PAPR+ 14.5.4.2).
//!
//! A terminal that accepts nothing must not delay the guest, least of all its last report.

use crate::clock::{Clock, Deadline};
use crate::hcall::{HcallError, calls};
use crate::lock::Lock;
use crate::platform::Hypervisor;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

/// Longest wait for a busy terminal. The wait is spent once: until the terminal accepts something again, what it does
/// not accept at the first try is dropped.
const TIMEOUT: Duration = Duration::from_millis(200);

/// One hypervisor terminal.
#[derive(Debug)]
pub struct Terminal {
    number: AtomicU32,
    stuck: AtomicBool,
    typed: Lock<Typed>,
}

/// Typed bytes that arrived in one call and were not read yet.
#[derive(Debug)]
struct Typed {
    bytes: [u8; calls::TERMINAL_BYTES],
    next: usize,
    end: usize,
}

/// Name of the lock of typed bytes, in errors.
const TYPED: &str = "keyboard";

const NOTHING: Typed = Typed { bytes: [0; calls::TERMINAL_BYTES], next: 0, end: 0 };

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// Terminal 0, which stands for the machine's first terminal (QEMU `hw/char/spapr_vty.c`).
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self::with(Lock::new(TYPED, NOTHING))
    }

    /// Terminal 0, which stands for the machine's first terminal.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self::with(Lock::new(TYPED, NOTHING))
    }

    const fn with(typed: Lock<Typed>) -> Self {
        Self { number: AtomicU32::new(0), stuck: AtomicBool::new(false), typed }
    }

    /// Sets the terminal's number, which the device tree has.
    pub fn set_number(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Writes what the terminal accepts within the timeout and drops the rest; false if anything was dropped.
    pub fn write(&self, machine: &(impl Hypervisor + Clock), bytes: &[u8]) -> bool {
        let mut deadline = Deadline::after(machine, TIMEOUT);
        for chunk in bytes.chunks(calls::TERMINAL_BYTES) {
            let number = self.number.load(Ordering::Relaxed);
            // Any other error means that there is no such terminal.
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

    /// One typed byte, if there is one. One hcall returns at most 16 bytes, whatever length the hypervisor reports;
    /// later calls of this function return the rest. `None` as well if another CPU does not release the lock.
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
