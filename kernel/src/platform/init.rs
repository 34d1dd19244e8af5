//! Sets the platform layer up from the device tree, once.

use crate::arch::cpus;
use crate::platform::{clock, console, interrupts, rtas};
use postern_core::dcbz::clears_by_blocks;
use postern_core::vsx::copies_by_vectors;
use pseries_tree::Machine;

/// Sets terminal, timebase frequency, ways of copying and clearing, RTAS tokens, the boot CPU and the interrupt controller.
pub fn init(machine: &Machine) {
    clock::set_timebase_hz(machine.cpus.timebase_hz);
    if let Some(terminal) = &machine.terminal {
        console::set_terminal(terminal.number);
    }
    match clears_by_blocks(machine.cpus.cache_block, postern_arch::cleared_by_one()) {
        // SAFETY: tree and processor say 128 bytes, and the processors of a machine are alike.
        Ok(()) => unsafe { postern_arch::clear_by_blocks() },
        Err(why) => log::warn!("memory: {why}: cleared word by word"),
    }
    match copies_by_vectors(postern_arch::pvr(), machine.cpus.vectors) {
        Ok(()) => cpus::use_vectors(),
        Err(why) => log::warn!("memory: {why}: copied by doublewords"),
    }
    rtas::set_tokens(machine.rtas.clone());
    cpus::booted_on(machine.cpus.boot_server);
    interrupts::open(machine);
}
