//! The panic handler. A panic is a mistake of this kernel; the report shows the place and, where allowed, the message and
//! the back-trace.

use crate::arch::{backtrace, disclosure};
use crate::devices::bus_masters;
use crate::memory::heap;
use crate::platform::power;
use crate::platform::pseries::Pseries;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};
use papr::clock::Clock;
use postern_core::exit::ExitStatus;

/// The CPU that reports; 0 as long as none does.
static PANICKING: AtomicU64 = AtomicU64::new(0);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let status = if heap::exhausted() { ExitStatus::OutOfMemory } else { ExitStatus::Panic };
    let here = Pseries.here();
    match PANICKING.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(other) if other == here => power::exit(status),
        // The first CPU reports and ends the run; this one takes over if the first one is stopped.
        Err(_) => {
            power::leave_it_to_another();
            power::exit(status)
        }
    }
    bus_masters::disable_all();
    // A message may hold private values.
    if disclosure::is_full() {
        log::error!("PANIC: {}", info.message());
    } else {
        log::error!("PANIC");
    }
    if let Some(place) = info.location() {
        log::error!("  at {}:{}", place.file(), place.line());
    }
    if disclosure::is_full() {
        backtrace::log_here();
    }
    power::exit(status)
}
