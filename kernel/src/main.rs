//! The boot order.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod memory;
mod platform;
mod report;

use postern_boot as _;
use postern_core::exit::ExitStatus;

/// Where `boot` hands over: little-endian, 64-bit, translation off, with the flattened device tree.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(fdt: usize) -> ! {
    memory::heap::init_early();
    platform::logger::init();
    if let Err(error) = arch::exceptions::install() {
        log::error!("little-endian interrupts: {error}");
        platform::power::exit(ExitStatus::UnexpectedException);
    }
    log::info!("device tree at {fdt:#x}");
    platform::power::exit(ExitStatus::Done)
}
