//! Interrupts of this machine: idling, and the controller by hcalls.
//!
//! MSR\[EE\] is off except inside [`idle`]. So nothing here or in any driver is ever interrupted, and no lock is
//! held when an interrupt comes.

use crate::arch::cpu_table;
use crate::platform::pseries::{self, Pseries};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use papr::clock::{Clock, Wake, ticks};
use papr::hcall::Hcall;
use papr::lock::Lock;
use papr::rtas::RtasError;
use pseries_tree::Machine;
use pseries_tree::machine::InterruptController;
use virtio_pci::interrupts::{IrqSource, Router, Statistics};

static ROUTER: Lock<Router> = Lock::new("interrupt controller", Router::new());
static OPEN: AtomicBool = AtomicBool::new(false);
static WAKE_LATENCY: AtomicU64 = AtomicU64::new(0);
static GIVEN_UP: AtomicU64 = AtomicU64::new(0);

/// The longest that the decrementer is set to: half of what 32 bits hold, so that it is positive whether it has
/// 32 bits or more. About four seconds.
const LONGEST_CEDE: u64 = 0x7fff_ffff;

/// Number of short sleeps that measure the wake latency; their median counts.
const SAMPLES: usize = 7;
const SHORT: Duration = Duration::from_micros(100);

/// The wake latency: ticks from the end of a sleep until the CPU runs again.
pub fn wake_latency() -> u64 {
    WAKE_LATENCY.load(Ordering::Relaxed)
}

/// Ticks for which CPUs were ceded to the hypervisor, summed over all CPUs.
pub fn given_up() -> u64 {
    GIVEN_UP.load(Ordering::Relaxed)
}

/// Measures the wake latency by a few short sleeps. It differs a hundredfold between KVM and emulation on a busy host.
fn measure_wake_latency() {
    let mut latencies = [(); SAMPLES].map(|()| {
        let until = Pseries.now().saturating_add(ticks(&Pseries, SHORT));
        pseries::count_hcall();
        cede(until);
        Pseries.now().saturating_sub(until)
    });
    latencies.sort_unstable();
    WAKE_LATENCY.store(latencies[SAMPLES / 2], Ordering::Relaxed);
}

/// Lets the interrupts of devices through to this CPU, if the controller is one that this kernel drives.
pub fn open(machine: &Machine) {
    measure_wake_latency();
    match machine.interrupts {
        Some(InterruptController::Xics) if Router::open(&Pseries) => OPEN.store(true, Ordering::Relaxed),
        Some(InterruptController::Xics) => log::warn!("interrupts: H_CPPR refused: devices are polled"),
        Some(InterruptController::Xive) => log::info!("interrupts: XIVE is not driven: devices are polled"),
        None => log::info!("interrupts: no controller: devices are polled"),
    }
}

/// Whether there is a controller that lets interrupts through.
pub fn are_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Routes a device's interrupt source to CPU `server`, and unmasks it.
///
/// # Errors
/// The controller does not take the source.
pub fn register(line: Arc<IrqSource>, server: u32) -> Result<(), RtasError> {
    ROUTER.take(&Pseries)?.register(&Pseries, line, server)
}

/// Counts of interrupts so far; `None` when a stopped CPU holds the interrupt router.
pub fn statistics() -> Option<Statistics> {
    Some(ROUTER.take(&Pseries).ok()?.statistics())
}

/// Lets requests from other CPUs (H_IPI) through to the current CPU.
pub fn open_here() {
    if are_open() && !Router::open(&Pseries) {
        log::warn!("interrupts: H_CPPR refused: a CPU cannot be woken");
    }
}

/// Cedes the CPU until an interrupt or `until`, whichever is first, and takes the interrupts that arrived.
pub fn idle(until: u64) -> Wake {
    let server = cpu_table::server_here();
    pseries::count_hcall();
    let Some(timer) = cede(until) else {
        Pseries.relax();
        return Wake::Event;
    };
    let arrived = take(server);
    if timer && arrived == 0 { Wake::Timer } else { Wake::Event }
}

/// As [`idle`], for a parked CPU; `server` is its own number. Returns whether an interrupt arrived. A sleep that the timer
/// ends counts as no call, because [`super::clock::acts`] would take it for work.
pub fn park(server: u32, until: u64) -> bool {
    cede(until) == Some(false) && take(server) > 0
}

/// Cedes the CPU. Returns whether the timer ended the wait; `None` at once if `until` is not in the future.
fn cede(until: u64) -> Option<bool> {
    let since = Pseries.now();
    let ticks = until.saturating_sub(since).min(LONGEST_CEDE);
    let ticks = u32::try_from(ticks).ok().filter(|ticks| *ticks > 0)?;
    // SAFETY: the number is H_CEDE's. `boot` put the handlers of 0x500 and 0x900 in place, for all CPUs, before the
    // kernel's first instruction.
    let timer = unsafe { postern_arch::cede(Hcall::Cede as u64, ticks) };
    GIVEN_UP.fetch_add(Pseries.now().saturating_sub(since), Ordering::Relaxed);
    Some(timer)
}

fn take(server: u32) -> u32 {
    if !are_open() {
        return 0;
    }
    // If a stopped CPU holds the router, no interrupt is taken, and drivers poll.
    ROUTER.take(&Pseries).map_or(0, |mut router| router.service(&Pseries, server))
}
