//! Makes QEMU's cache of translations large, so that a benchmark measures this kernel and not that cache.

use alloc::vec::Vec;
use core::time::Duration;
use papr::platform::DeviceMemory;
use postern_kernel::arch::cpus::{self, Pending};
use postern_kernel::memory::open::Pool;

/// How long another CPU may take to look through the pool.
const PATIENCE: Duration = Duration::from_secs(2);

/// Has every CPU look through the pool: all of them may do I/O.
pub fn all_cpus(pool: &Pool) {
    widen(pool.memory());
    let looks: Vec<Pending<()>> = cpus::workers()
        .map(|cpu| {
            let memory = pool.memory().clone();
            cpu.start(move || widen(&memory))
        })
        .collect();
    for look in looks {
        // One that is slow is slow later, too; nothing depends on it.
        _ = look.wait(PATIENCE);
    }
}

/// Bytes in a page of QEMU's translation cache, the pages that it has room for at first, and those that it is
/// filled with at most.
const CACHED_PAGE: usize = 4096;
const CACHED_AT_FIRST: usize = 256;
const CACHED_AT_LAST: usize = 4096;

/// Makes QEMU's cache of translations large enough for `memory`, on the CPU that runs this. It doubles when it is
/// flushed while more than 70 % of it are in use (QEMU 7.2, accel/tcg/cputlb.c), which happens under a system that
/// changes processes and never under this one; without it, copies of more than a megabyte take twice as long.
/// On hardware this is a few thousand loads.
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
