//! Makes QEMU's software TLB large, so that a benchmark measures this kernel and not that TLB.

use alloc::vec::Vec;
use core::time::Duration;
use papr::platform::DeviceMemory;
use postern_kernel::arch::cpus::{self, Pending};
use postern_kernel::memory::open::Pool;

/// How long another CPU may take to read through the pool.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Makes every CPU read through the pool, because all of them may do I/O.
pub fn all_cpus(pool: &Pool) {
    widen(pool.memory());
    let looks: Vec<Pending<()>> = cpus::workers()
        .map(|cpu| {
            let memory = pool.memory().clone();
            cpu.start(move || widen(&memory))
        })
        .collect();
    for look in looks {
        // Nothing depends on a CPU that is too slow here.
        _ = look.wait(TIMEOUT);
    }
}

/// Bytes of a page in QEMU's TLB, entries of a new TLB, and entries that this code fills at most.
const CACHED_PAGE: usize = 4096;
const CACHED_AT_FIRST: usize = 256;
const CACHED_AT_LAST: usize = 4096;

/// Makes QEMU's TLB large enough for `memory`, on the current CPU. QEMU doubles a TLB of which more than 70 % are in use
/// when it is flushed (QEMU 7.2, accel/tcg/cputlb.c). A system that switches processes flushes it; this kernel does not.
/// With a small TLB, copies of more than a megabyte take twice as long. On hardware this is a few thousand loads.
fn widen(memory: &impl DeviceMemory) {
    let mut pages = CACHED_AT_FIRST;
    while pages <= CACHED_AT_LAST.min(memory.len() / CACHED_PAGE) {
        for page in 0..pages {
            memory.load32(page.saturating_mul(CACHED_PAGE));
        }
        postern_arch::renew_process();
        pages = pages.saturating_mul(2);
    }
}
