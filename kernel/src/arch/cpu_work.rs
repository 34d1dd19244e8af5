//! Work that one CPU gives to another, and its answer.

use super::cpu_table::{BOOT_SERVER, CPUS, Secondary};
use crate::memory::layout::{self, SECONDARIES};
use crate::platform::pseries::Pseries;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use core::time::Duration;
use papr::addr::GpaRange;
use papr::clock::Deadline;
use papr::hcall::calls;
use papr::lock::{Lock, Stuck};
use postern_core::mailbox::{self, Slot};
use thiserror::Error;

/// A CPU that waits for another CPU's work checks for it at this interval, even if nobody wakes it.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// XICS priority of a request from another CPU: more urgent than any device.
const REQUEST: u8 = 4;

/// Work for another CPU.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The mailbox of each CPU of [`CPUS`], with work that it has not begun.
pub(super) static MAIL: [Slot<Work>; SECONDARIES] =
    [const { Lock::new("work of another CPU", None) }; SECONDARIES];

/// Wakes CPU `server`. Returns whether the hypervisor took the request.
pub(super) fn request(server: u32) -> bool {
    let asked = calls::ipi(&Pseries, server, REQUEST);
    if let Err(error) = asked {
        log::warn!("cpu {server}: H_IPI: {error}");
    }
    asked.is_ok()
}

/// The CPUs besides the boot CPU that can be given work.
pub fn workers() -> impl Iterator<Item = Worker> {
    CPUS.iter().filter(|cpu| cpu.ready.load(Ordering::Relaxed)).map(Worker)
}

/// The server number of the `number`th working CPU. The boot CPU's for 0, and for a number without a CPU.
pub fn server(number: usize) -> u32 {
    let other = number.checked_sub(1).and_then(|number| workers().nth(number));
    other.map_or(BOOT_SERVER.load(Ordering::Relaxed), |worker| worker.server())
}

/// A CPU that waits for work.
#[derive(Clone, Copy)]
pub struct Worker(&'static Secondary);

/// Work given to a CPU.
pub struct Pending<T> {
    answer: Arc<Slot<T>>,
    cpu: &'static Secondary,
}

/// Why work that was given to a CPU led to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unanswered {
    /// It is not done in time, or will never be.
    #[error("does not finish")]
    Late,
    /// The CPU was stopped while it held the lock of its answer.
    #[error("is stopped and does not release its answer")]
    Stuck,
}

impl Worker {
    /// The CPU's interrupt server number.
    pub fn server(self) -> u32 {
        self.0.server.load(Ordering::Relaxed)
    }

    /// The stack that it works on.
    pub fn stack(self) -> GpaRange {
        let [_, stack] = layout::secondary_stacks(self.0.index.load(Ordering::Relaxed) as usize);
        stack
    }

    /// Gives the CPU work. The work owns everything that it uses, so a CPU that never finishes holds nothing that
    /// others need.
    pub fn start<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let result = Arc::new(Lock::new("answer of another CPU", None));
        let answer = Arc::clone(&result);
        let boot_server = BOOT_SERVER.load(Ordering::Relaxed);
        let work: Work = Box::new(move || {
            // Wake the waiting CPU, which also checks from time to time in case H_IPI is refused.
            // If a stopped CPU holds the answer's lock, nobody waits for the answer any more.
            let _ = mailbox::send(&answer, &Pseries, work(), || _ = request(boot_server));
        });
        if let Some(mail) = MAIL.get(self.0.index.load(Ordering::Relaxed) as usize) {
            // A CPU that cannot be woken checks its mailbox after a sleep. If a stopped CPU holds the mailbox's lock, the
            // work is dropped and no answer comes.
            let _ = mailbox::send(mail, &Pseries, work, || _ = request(self.server()));
        }
        Pending { answer: result, cpu: self.0 }
    }
}

impl<T> Pending<T> {
    /// Waits for the result of the work. Called on the boot CPU.
    ///
    /// # Errors
    /// It is not done within `timeout`, or will never be. A CPU that stands still with its answer is given no more work.
    pub fn wait(self, timeout: Duration) -> Result<T, Unanswered> {
        let mut deadline = Deadline::after(&Pseries, timeout);
        // When this is the only handle to the slot, no CPU can answer any more.
        let awaited = || Arc::strong_count(&self.answer) > 1;
        let sleep = || awaited() && !deadline.expired_after_cede(&Pseries, POLL_INTERVAL).0;
        match mailbox::recv(&self.answer, &Pseries, sleep) {
            Ok(answer) => answer.ok_or(Unanswered::Late),
            Err(Stuck(_)) => {
                self.cpu.ready.store(false, Ordering::Relaxed);
                Err(Unanswered::Stuck)
            }
        }
    }
}
