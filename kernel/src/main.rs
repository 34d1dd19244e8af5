//! The product: the kernel and nothing else. The boot order is in `lib.rs`.
#![no_std]
#![no_main]

/// Called by the boot stage.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(fdt: usize, ordinary: usize) -> ! {
    // SAFETY: `boot` calls this once, with the machine as it left it.
    unsafe { postern_kernel::start(fdt, ordinary, &mut ()) }
}
