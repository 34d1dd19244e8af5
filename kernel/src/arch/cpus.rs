//! The other CPUs: started by RTAS, parked in H_CEDE, woken by interrupts from each other.

use super::cpu_table::{ARMED, BOOT_SERVER, CPUS, Secondary};
pub use super::cpu_table::{MOST, booted_on, number_here, server_here};
use super::cpu_work::{MAIL, request};
pub use super::cpu_work::{Pending, Unanswered, Worker, server, workers};
use crate::devices::bus_masters;
use crate::memory::layout::{self, SECONDARIES};
use crate::platform::pseries::Pseries;
use crate::platform::{clock, interrupts, power, rtas};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use papr::clock::{Clock, Deadline, ticks};
use papr::lock::Stuck;
use papr::parts::low_u32;
use postern_core::exit::ExitStatus;
use postern_core::mailbox;
use postern_core::watch::{QUIET, Watch};
use pseries_tree::Machine;

/// How long a CPU may take to arrive, and to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest sleep of a parked CPU that nobody wakes.
const CEDE_INTERVAL: Duration = Duration::from_secs(1);

/// How many CPUs copy by vector registers: none, or the boot CPU and those that it started.
static VECTORS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    /// Defined in `entry.S`.
    static postern_secondary_entry: u8;
}

/// How many CPUs there are.
#[derive(Clone, Copy, Debug)]
pub struct Online {
    /// CPUs that run, including the boot CPU.
    pub online: usize,
    /// CPUs that answered a request of the boot CPU.
    pub answered: usize,
    /// CPUs that copy by vector registers.
    pub vectors: usize,
}

/// Starts every CPU that has stacks, and asks each for an answer. Called with translation on, after interrupts were
/// opened. In a secure guest, a CPU whose server number would fail an assertion in the ultravisor is not started.
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
    // SAFETY: the entry code is this image's and works in any state of a CPU. It reads only `cpu` at first, which is
    // static and for this CPU alone.
    if let Err(error) = unsafe { rtas::start_cpu(server, entry, argument) } {
        if missed(cpu) {
            log::warn!("cpu {server}: start-cpu: {error}");
        }
        return cpu.arrival.is_here();
    }
    if wait(|| cpu.arrival.is_here()) || !missed(cpu) {
        return true;
    }
    log::warn!("cpu {server}: started, but not here after {TIMEOUT:?}");
    false
}

/// Closes the entry for the CPU. Returns false if it arrived at the last moment. A CPU that comes later finds no stack,
/// or stops where it would have announced itself.
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
        log::warn!("cpu {server}: no answer after {TIMEOUT:?}");
    }
    answered
}

fn wait(done: impl Fn() -> bool) -> bool {
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    loop {
        if done() {
            return true;
        }
        if deadline.expired(&Pseries) {
            return false;
        }
    }
}

/// Called by `entry.S` on a CPU that was started: little-endian, translation off, on its own stack.
extern "C" fn run(cpu: &'static Secondary) -> ! {
    if !cpu.arrival.arrive() {
        stand_still();
    }
    // SAFETY: the tables that the boot CPU registered map the image and all memory to itself, with this code, its stack
    // and `cpu`.
    unsafe { postern_arch::enable_translation() };
    interrupts::open_here();
    if VECTORS.load(Ordering::Relaxed) > 0 {
        use_vectors();
    }
    let server = cpu.server.load(Ordering::Relaxed);
    let mut watch = Watch::new();
    let mut park = || {
        let until = Pseries.now().saturating_add(ticks(&Pseries, CEDE_INTERVAL));
        if interrupts::park(server, until) {
            cpu.answered.fetch_add(1, Ordering::Release);
        }
        if watch.is_over(&Pseries, clock::acts()) {
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
        match mailbox::recv(mail, &Pseries, &mut park) {
            Ok(Some(work)) => work(),
            Ok(None) => {}
            // A stopped CPU holds the mailbox's lock, so no work comes. Keep watching whether any CPU works.
            Err(Stuck(_)) => _ = park(),
        }
    }
}

/// Ends the run from a parked CPU: the hypervisor has stopped the boot CPU.
fn nobody_works() -> ! {
    bus_masters::disable_all();
    let booted = BOOT_SERVER.load(Ordering::Relaxed);
    log::error!("cpu {booted}: stopped: no CPU has made progress for {QUIET:?}");
    power::exit(ExitStatus::CpuStopped)
}

/// Stops the current CPU for good.
fn stand_still() -> ! {
    loop {
        postern_arch::relax();
    }
}

/// Makes the current CPU copy by vector registers, and every CPU that is started later. Only for processors that have
/// them.
pub fn use_vectors() {
    postern_arch::use_vectors();
    VECTORS.fetch_add(usize::from(postern_arch::vectors_are_on()), Ordering::Relaxed);
}
