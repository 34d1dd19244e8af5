//! A panic: a mistake of ours, reported with what led to it.

use crate::arch::backtrace;
use crate::devices::masters;
use crate::memory::heap;
use crate::platform::power;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use postern_core::exit::ExitStatus;

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let status = if heap::exhausted() { ExitStatus::OutOfMemory } else { ExitStatus::Panic };
    if PANICKING.swap(true, Ordering::Relaxed) {
        power::exit(status);
    }
    masters::silence();
    log::error!("PANIC: {}", info.message());
    if let Some(place) = info.location() {
        log::error!("  at {}:{}", place.file(), place.line());
    }
    backtrace::log_here();
    power::exit(status)
}
