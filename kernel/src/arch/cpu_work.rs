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

/// Who waits for another CPU's work looks this often although nobody said that it is done.
const LOOK: Duration = Duration::from_millis(10);
/// The priority of a request of another CPU: more urgent than any device.
const REQUEST: u8 = 4;

/// What a CPU is to do next.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// Work that is waiting, for each CPU of [`CPUS`].
pub(super) static MAIL: [Slot<Work>; SECONDARIES] =
    [const { Lock::new("work of another CPU", None) }; SECONDARIES];

/// Wakes CPU `server`.
pub(super) fn request(server: u32) -> bool {
    let asked = calls::ipi(&Pseries, server, REQUEST);
    if let Err(error) = asked {
        log::warn!("cpu {server}: H_IPI: {error}");
    }
    asked.is_ok()
}

/// The CPUs that work can be given to, besides the one that booted.
pub fn workers() -> impl Iterator<Item = Worker> {
    CPUS.iter().filter(|cpu| cpu.ready.load(Ordering::Relaxed)).map(Worker)
}

/// The server number of the `number`th CPU that works: of the one that booted for 0, and for those there are not.
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
    /// The CPU stands still with its answer.
    #[error("stands still with its answer")]
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

    /// Hands work over. All that it uses it owns, so that a CPU that never finishes keeps nothing of anybody's.
    pub fn start<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let result = Arc::new(Lock::new("answer of another CPU", None));
        let answer = Arc::clone(&result);
        let boot_server = BOOT_SERVER.load(Ordering::Relaxed);
        let work: Work = Box::new(move || {
            // Whoever waits sleeps meanwhile, and looks now and then should this be refused.
            // Behind a CPU that stands still with the answer nobody wants it any more.
            let _ = mailbox::post(&answer, &Pseries, work(), || _ = request(boot_server));
        });
        if let Some(mail) = MAIL.get(self.0.index.load(Ordering::Relaxed) as usize) {
            // A CPU that cannot be woken looks by itself after a nap. One that stands still with its mail drops the
            // work, and its answer never comes.
            let _ = mailbox::post(mail, &Pseries, work, || _ = request(self.server()));
        }
        Pending { answer: result, cpu: self.0 }
    }
}

impl<T> Pending<T> {
    /// What the work led to, on the CPU that booted.
    ///
    /// # Errors
    /// It is not done within `patience`, or will never be. A CPU that stands still with its answer is given no more work.
    pub fn wait(self, patience: Duration) -> Result<T, Unanswered> {
        let mut deadline = Deadline::after(&Pseries, patience);
        // Once nobody else knows of the slot, nobody answers any more.
        let awaited = || Arc::strong_count(&self.answer) > 1;
        let sleep = || awaited() && !deadline.expired_after_nap(&Pseries, LOOK).0;
        match mailbox::next(&self.answer, &Pseries, sleep) {
            Ok(answer) => answer.ok_or(Unanswered::Late),
            Err(Stuck(_)) => {
                self.cpu.ready.store(false, Ordering::Relaxed);
                Err(Unanswered::Stuck)
            }
        }
    }
}
