//! The hypervisor's terminal: bytes out and in by hcalls, 16 at a time (PAPR+ 14.5.4.2).
//!
//! A terminal that takes nothing must not hold the guest up, least of all when it reports why it ends.

use crate::clock::{Clock, Deadline};
use crate::hcall::{HcallError, calls};
use crate::lock::Lock;
use crate::seam::Hypervisor;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

/// How long a busy terminal is waited for. The wait is spent once: until the terminal takes something again,
/// what it does not take at the first try is dropped.
const PATIENCE: Duration = Duration::from_millis(200);

/// One terminal.
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

/// The name of their lock.
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
    #[cfg(not(test))]
    pub const fn new() -> Self {
        Self::with(Lock::new(TYPED, NOTHING))
    }

    /// Terminal 0, which stands for the first there is.
    #[must_use]
    #[cfg(test)]
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

#[cfg(test)]
#[allow(unsafe_code, reason = "models of a hypervisor implement its raw call")]
mod tests {
    use super::*;
    use crate::hcall::{Hcall, HcallReturn};
    use crate::model::Model;
    use postern_cases::case;
    use std::sync::atomic::AtomicU64;
    use std::sync::{Arc, Mutex as StdMutex};
    use std::vec::Vec;

    /// What was written, as the hypervisor understood it.
    fn recorder(machine: &Model) -> Arc<StdMutex<Vec<u8>>> {
        let seen = Arc::new(StdMutex::new(Vec::new()));
        let into = seen.clone();
        machine.on_hcall(move |_, [_, len, high, low]| {
            let bytes = [high.to_be_bytes(), low.to_be_bytes()].concat();
            into.lock().unwrap().extend(&bytes[..len as usize]);
            Some(HcallReturn::default())
        });
        seen
    }

    #[test]
    fn text_arrives_whole_in_chunks_of_sixteen() {
        let machine = Model::new(false);
        let seen = recorder(&machine);
        let terminal = Terminal::new();
        terminal.set_number(0x7100_0000);
        let text: Vec<u8> = (0..100).collect();
        assert!(terminal.write(&machine, &text));
        assert_eq!(*seen.lock().unwrap(), text);
        assert!(machine.hcalls().iter().all(|(_, args)| args[0] == 0x7100_0000));
        assert_eq!(machine.hcalls().len(), 7);
    }

    /// A hypervisor that is busy for as long as it is told to be, on a clock that may stand still.
    #[derive(Default)]
    struct Busy {
        calls: AtomicU64,
        turns: AtomicU64,
        runs: bool,
        takes: AtomicBool,
    }

    impl Hypervisor for Busy {
        unsafe fn hcall(&self, _: Hcall, _: [u64; 4]) -> HcallReturn {
            self.calls.fetch_add(1, Ordering::Relaxed);
            HcallReturn { status: (!self.takes.load(Ordering::Relaxed)).into(), out: [0; 4] }
        }
    }

    impl Clock for Busy {
        fn now(&self) -> u64 {
            if self.runs { self.turns.load(Ordering::Relaxed) } else { 7 }
        }
        fn frequency(&self) -> u64 {
            1_000_000
        }
        fn relax(&self) {
            self.turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_terminal_that_is_always_busy_costs_its_patience_once() {
        case!("HC-05", Drop);
        for runs in [true, false] {
            let machine = Busy { runs, ..Busy::default() };
            let calls = || machine.calls.load(Ordering::Relaxed);
            let terminal = Terminal::new();
            assert!(!terminal.write(&machine, b"first"));
            let before = calls();
            assert!(before <= 10_050_000, "{before}");
            for _ in 0..1000 {
                assert!(!terminal.write(&machine, &[b'x'; 1000]));
            }
            assert_eq!(calls(), before + 1000, "one try each");
            machine.takes.store(true, Ordering::Relaxed);
            assert!(terminal.write(&machine, b"taken again"));
        }
    }

    #[test]
    fn a_terminal_that_is_not_there_is_not_waited_for() {
        let machine = Model::new(false);
        machine.on_hcall(|_, _| Some(HcallReturn { status: -4, out: [0; 4] }));
        assert!(Terminal::new().write(&machine, b"nobody listens, and nobody waits"));
        assert_eq!(machine.hcalls().len(), 2);
    }

    #[test]
    fn a_length_that_cannot_be_is_cut_to_what_a_call_can_carry() {
        case!("HC-03", Clamp);
        for len in [16, 17, 1 << 32, u64::MAX] {
            let machine = Model::new(false);
            let out = [len, 0x6162_6364_6566_6768, 0x696a_6b6c_6d6e_6f70, u64::MAX];
            let mut first = true;
            machine.on_hcall(move |_, _| {
                let answer = HcallReturn { status: 0, out: if first { out } else { [0; 4] } };
                first = false;
                Some(answer)
            });
            let terminal = Terminal::new();
            let typed: Vec<u8> = core::iter::from_fn(|| terminal.read(&machine)).collect();
            assert_eq!(typed, b"abcdefghijklmnop");
        }
    }

    #[test]
    fn nothing_is_typed_when_the_call_fails() {
        case!("HC-01", Fail);
        let machine = Model::new(false);
        machine.on_hcall(|_, _| Some(HcallReturn { status: 0x7fff_ffff, out: [5, 1, 2, 3] }));
        assert_eq!(Terminal::new().read(&machine), None);
        let unknown = HcallReturn { status: 0x7fff_ffff, out: [0; 4] };
        assert_eq!(unknown.ok(), Err(HcallError::Unknown(0x7fff_ffff)));
    }
}
