//! The CPUs that there are stacks for, and which of them runs this.

use crate::memory::layout::SECONDARIES;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use postern_core::mailbox::Arrival;

/// What a CPU is started with. The first five words are read by `boot/src/entry.S`, which knows the size, too.
#[repr(C, align(128))]
pub(super) struct Secondary {
    pub(super) stack: AtomicU64,
    pub(super) toc: AtomicU64,
    pub(super) function: AtomicU64,
    pub(super) exception_stack: AtomicU64,
    /// [`ARMED`] while a start is due; the CPU that arrives takes it out.
    pub(super) armed: AtomicU64,
    pub(super) server: AtomicU32,
    pub(super) arrival: Arrival,
    /// Requests of other CPUs that it has seen.
    pub(super) answered: AtomicU32,
    /// Set when the CPU answered its start: it can be given work.
    pub(super) ready: AtomicBool,
    /// The CPU's index in [`CPUS`].
    pub(super) index: AtomicU32,
}

/// A CPU is expected. Any other value makes one that arrives stand still, without a stack.
pub(super) const ARMED: u64 = 0x41;

const _: () = assert!(size_of::<Secondary>() == 128 && SECONDARIES == 15);

/// The CPUs beside the boot CPU. `entry.S` uses this symbol to look up a CPU that arrives.
#[unsafe(export_name = "postern_secondary_slots")]
pub(super) static CPUS: [Secondary; SECONDARIES] = [const {
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

/// The server number of the CPU that booted.
pub(super) static BOOT_SERVER: AtomicU32 = AtomicU32::new(0);

/// Takes the server number of the CPU that booted from the device tree.
pub fn booted_on(server: u32) {
    BOOT_SERVER.store(server, Ordering::Relaxed);
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
