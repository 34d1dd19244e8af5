//! The table of CPUs that have stacks, and which entry is the current CPU.

use crate::memory::layout::SECONDARIES;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use postern_core::mailbox::Arrival;

/// The data that a CPU is started with, and its state. `boot/src/entry.S` reads the first five words and knows the size.
#[repr(C, align(128))]
pub(super) struct Secondary {
    pub(super) stack: AtomicU64,
    pub(super) toc: AtomicU64,
    pub(super) function: AtomicU64,
    pub(super) exception_stack: AtomicU64,
    /// [`ARMED`] while a start is due; the CPU that arrives clears it.
    pub(super) armed: AtomicU64,
    pub(super) server: AtomicU32,
    pub(super) arrival: Arrival,
    /// Number of requests from other CPUs (H_IPI) that it has taken.
    pub(super) answered: AtomicU32,
    /// Set when the CPU has answered its first request: it can be given work.
    pub(super) ready: AtomicBool,
    /// The CPU's index in [`CPUS`].
    pub(super) index: AtomicU32,
}

/// A CPU is expected. With any other value, a CPU that arrives loops without a stack.
pub(super) const ARMED: u64 = 0x41;

const _: () = assert!(size_of::<Secondary>() == 128 && SECONDARIES == 15);

/// The CPUs beside the boot CPU. `entry.S` finds a CPU that arrives by this symbol.
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

/// The server number of the boot CPU.
pub(super) static BOOT_SERVER: AtomicU32 = AtomicU32::new(0);

/// Sets the server number of the boot CPU, from the device tree.
pub fn booted_on(server: u32) {
    BOOT_SERVER.store(server, Ordering::Relaxed);
}

/// Number of CPUs that have stacks, the boot CPU included.
pub const MOST: usize = SECONDARIES + 1;

/// The number of the current CPU, below [`MOST`]; 0 is the boot CPU.
pub fn number_here() -> usize {
    let stack = postern_arch::exception_stack();
    let mine = |cpu: &Secondary| cpu.exception_stack.load(Ordering::Relaxed) == stack;
    CPUS.iter().position(mine).map_or(0, |index| index.saturating_add(1))
}

/// The interrupt server number of the current CPU.
pub fn server_here() -> u32 {
    let stack = postern_arch::exception_stack();
    let mut others = CPUS.iter().filter(|cpu| cpu.exception_stack.load(Ordering::Relaxed) == stack);
    let server = others.next().map_or(&BOOT_SERVER, |cpu| &cpu.server);
    server.load(Ordering::Relaxed)
}
