//! The other CPUs: started by RTAS, parked in H_CEDE, woken by interrupts from each other, and given work.

use crate::devices::bus_masters;
use crate::memory::layout::{self, SECONDARIES};
use crate::platform::pseries::{self, Pseries};
use crate::platform::{interrupts, power, rtas};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use papr::addr::GpaRange;
use papr::clock::{Clock, Deadline, ticks};
use papr::hcall::calls;
use papr::lock::{Lock, Stuck};
use papr::parts::low_u32;
use postern_core::exit::ExitStatus;
use postern_core::mailbox::{self, Arrival, Slot};
use postern_core::watch::{QUIET, Watch};
use pseries_tree::Machine;
use thiserror::Error;

/// How long a CPU may take to arrive, and to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A parked CPU looks around this often although nobody woke it.
const NAP: Duration = Duration::from_secs(1);
/// Who waits for another CPU's work looks this often although nobody said that it is done.
const LOOK: Duration = Duration::from_millis(10);
/// The priority of a request of another CPU: more urgent than any device.
const REQUEST: u8 = 4;

/// What a CPU is started with. The first five words are read by `boot/src/entry.S`, which knows the size, too.
#[repr(C, align(128))]
struct Secondary {
    stack: AtomicU64,
    toc: AtomicU64,
    function: AtomicU64,
    exception_stack: AtomicU64,
    /// [`ARMED`] while a start is due; the CPU that arrives takes it out.
    armed: AtomicU64,
    server: AtomicU32,
    arrival: Arrival,
    /// Requests of other CPUs that it has seen.
    answered: AtomicU32,
    /// Set when the CPU answered its start: it can be given work.
    ready: AtomicBool,
    /// The CPU's index in [`CPUS`].
    index: AtomicU32,
}

/// A CPU is expected. Any other value makes one that arrives stand still, without a stack.
const ARMED: u64 = 0x41;

const _: () = assert!(size_of::<Secondary>() == 128 && SECONDARIES == 15);

/// The CPUs beside the boot CPU. `entry.S` uses this symbol to look up a CPU that arrives.
#[unsafe(export_name = "postern_secondary_slots")]
static CPUS: [Secondary; SECONDARIES] = [const {
    Secondary {
        stack: AtomicU64::new(0),
        toc: AtomicU64::new(0),
        function: AtomicU64::new(0),
        exception_stack: AtomicU64::new(0),
        armed: AtomicU64::new(0),
        server: AtomicU32::new(0),
        arrival: Arrival::new(),
        answered: AtomicU32::new(0),
        ready: AtomicBool::new(false),
        index: AtomicU32::new(0),
    }
}; SECONDARIES];

/// What a CPU is to do next.
type Work = Box<dyn FnOnce() + Send>;

/// Work that is waiting, for each CPU of [`CPUS`].
static MAIL: [Slot<Work>; SECONDARIES] = [const { Lock::new("work of another CPU", None) }; SECONDARIES];

/// The server number of the CPU that booted.
static BOOT_SERVER: AtomicU32 = AtomicU32::new(0);

/// How many CPUs copy by vector registers: none, or the one that booted and those that it started.
static VECTORS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    /// Defined in `entry.S`.
    static postern_secondary_entry: u8;
}

/// How many CPUs there are.
#[derive(Clone, Copy, Debug)]
pub struct Online {
    /// CPUs that run, the one that booted among them.
    pub online: usize,
    /// CPUs that answered a request of the one that booted.
    pub answered: usize,
    /// CPUs that copy by vector registers.
    pub vectors: usize,
}

/// Starts every CPU that there are stacks for and asks each for an answer. Translation is on, and interrupts are
/// open if they ever will be. In a secure guest, a CPU whose server number ends the ultravisor is left alone.
pub fn start(machine: &Machine, secure: bool) -> Online {
    let limit = machine.cpus.server_limit.filter(|_| secure);
    let allowed = |server: u32| limit.is_none_or(|limit| server < limit);
    let others = machine.cpus.servers.iter().filter(|server| **server != machine.cpus.boot_server);
    let high = others.clone().filter(|server| !allowed(**server)).count();
    if high > 0 {
        log::warn!("cpus: {high} are left alone: the ultravisor has no room for their server numbers");
    }
    let others = others.filter(|server| allowed(**server));
    let (mut online, mut answered) = (1usize, 0usize);
    for (index, (cpu, server)) in CPUS.iter().zip(others.clone()).enumerate() {
        if start_one(cpu, index, *server) {
            online = online.saturating_add(1);
            let ready = asked(cpu);
            cpu.ready.store(ready, Ordering::Relaxed);
            answered = answered.saturating_add(ready.into());
        }
    }
    let left = others.count().saturating_sub(SECONDARIES);
    if left > 0 {
        log::info!("cpus: {left} are left alone: there are stacks for {}", SECONDARIES + 1);
    }
    Online { online, answered, vectors: VECTORS.load(Ordering::Relaxed) }
}

fn start_one(cpu: &'static Secondary, index: usize, server: u32) -> bool {
    let toc: u64;
    // SAFETY: reads r2, the TOC pointer of this image, into a register; no memory, no side effect.
    unsafe { core::arch::asm!("mr {}, 2", out(reg) toc, options(nomem, nostack, preserves_flags)) };
    let [exception_stack, stack] = layout::secondary_stacks(index);
    cpu.exception_stack.store(exception_stack.end().0, Ordering::Relaxed);
    cpu.stack.store(stack.end().0, Ordering::Relaxed);
    cpu.toc.store(toc, Ordering::Relaxed);
    cpu.function.store(run as *const () as u64, Ordering::Relaxed);
    cpu.server.store(server, Ordering::Relaxed);
    cpu.index.store(low_u32(index as u64), Ordering::Relaxed);
    postern_arch::sync();
    let entry = u32::try_from(&raw const postern_secondary_entry as usize);
    let argument = u32::try_from(core::ptr::from_ref(cpu).expose_provenance());
    let (Ok(entry), Ok(argument)) = (entry, argument) else {
        log::warn!("cpu {server}: the image is above 4 GiB");
        return false;
    };
    cpu.armed.store(ARMED, Ordering::Relaxed);
    postern_arch::sync();
    // SAFETY: the entry is this image's, for a CPU in any state, and `cpu`, which is all that it looks at first, is for
    // this CPU and lasts.
    if let Err(error) = unsafe { rtas::start_cpu(server, entry, argument) } {
        if missed(cpu) {
            log::warn!("cpu {server}: start-cpu: {error}");
        }
        return cpu.arrival.is_here();
    }
    if wait(|| cpu.arrival.is_here()) || !missed(cpu) {
        return true;
    }
    log::warn!("cpu {server}: started, but not here after {PATIENCE:?}");
    false
}

/// Lets the CPU in no longer; false when it is here at the last moment. One that comes later finds no stack, or stands
/// still where it would have said that it is here.
fn missed(cpu: &Secondary) -> bool {
    cpu.armed.store(0, Ordering::Relaxed);
    cpu.arrival.miss()
}

/// Whether the CPU answers a request.
fn asked(cpu: &Secondary) -> bool {
    let before = cpu.answered.load(Ordering::Acquire);
    let server = cpu.server.load(Ordering::Relaxed);
    if !request(server) {
        return false;
    }
    let answered = wait(|| cpu.answered.load(Ordering::Acquire) != before);
    if !answered {
        log::warn!("cpu {server}: no answer after {PATIENCE:?}");
    }
    answered
}

/// Wakes CPU `server`.
fn request(server: u32) -> bool {
    let asked = calls::ipi(&Pseries, server, REQUEST);
    if let Err(error) = asked {
        log::warn!("cpu {server}: H_IPI: {error}");
    }
    asked.is_ok()
}

fn wait(done: impl Fn() -> bool) -> bool {
    let mut deadline = Deadline::after(&Pseries, PATIENCE);
    loop {
        if done() {
            return true;
        }
        if deadline.expired(&Pseries) {
            return false;
        }
    }
}

/// Where `entry.S` goes on a CPU that was started: little-endian, translation off, on a stack of its own.
extern "C" fn run(cpu: &'static Secondary) -> ! {
    if !cpu.arrival.arrive() {
        stand_still();
    }
    // SAFETY: the tables that the CPU that booted registered map the image and everything else to itself, this
    // code, its stack and `cpu` among it.
    unsafe { postern_arch::enable_translation() };
    interrupts::open_here();
    if VECTORS.load(Ordering::Relaxed) > 0 {
        use_vectors();
    }
    let server = cpu.server.load(Ordering::Relaxed);
    let mut watch = Watch::new();
    let mut park = || {
        let until = Pseries.now().saturating_add(ticks(&Pseries, NAP));
        if interrupts::park(server, until) {
            cpu.answered.fetch_add(1, Ordering::Release);
        }
        if watch.is_over(&Pseries, pseries::acts()) {
            nobody_works();
        }
        true
    };
    let Some(mail) = MAIL.get(cpu.index.load(Ordering::Relaxed) as usize) else {
        loop {
            park();
        }
    };
    loop {
        match mailbox::next(mail, &Pseries, &mut park) {
            Ok(Some(work)) => work(),
            Ok(None) => {}
            // Nobody gives it work, but it looks whether anybody works at all.
            Err(Stuck(_)) => _ = park(),
        }
    }
}

/// The hypervisor has stopped the CPU that booted, at anything, and a parked one ends the run in its place.
fn nobody_works() -> ! {
    bus_masters::disable_all();
    let booted = BOOT_SERVER.load(Ordering::Relaxed);
    log::error!("cpu {booted}: stands still: no CPU has done anything for {QUIET:?}");
    power::exit(ExitStatus::CpuStopped)
}

/// The CPU that runs this does nothing any more.
fn stand_still() -> ! {
    loop {
        postern_arch::relax();
    }
}

/// Takes the server number of the CPU that booted from the device tree.
pub fn booted_on(server: u32) {
    BOOT_SERVER.store(server, Ordering::Relaxed);
}

/// Lets the CPU that runs this copy by vector registers, which processors of this kind have. Those that are started
/// later do the same.
pub fn use_vectors() {
    postern_arch::use_vectors();
    VECTORS.fetch_add(usize::from(postern_arch::vectors_are_on()), Ordering::Relaxed);
}

/// CPUs that there are stacks for.
pub const MOST: usize = SECONDARIES + 1;

/// The number of the CPU that runs this, below [`MOST`]: 0 for the one that booted.
pub fn number_here() -> usize {
    let stack = postern_arch::exception_stack();
    let mine = |cpu: &Secondary| cpu.exception_stack.load(Ordering::Relaxed) == stack;
    CPUS.iter().position(mine).map_or(0, |index| index.saturating_add(1))
}

/// The server number of the CPU that runs this.
pub fn server_here() -> u32 {
    let stack = postern_arch::exception_stack();
    let mut others = CPUS.iter().filter(|cpu| cpu.exception_stack.load(Ordering::Relaxed) == stack);
    let server = others.next().map_or(&BOOT_SERVER, |cpu| &cpu.server);
    server.load(Ordering::Relaxed)
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
