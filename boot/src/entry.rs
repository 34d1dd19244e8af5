//! The first Rust code that runs, called by `entry.S`.

core::arch::global_asm!(include_str!("entry.S"), boot_main = sym boot_main);

unsafe extern "C" {
    /// The kernel proper; gets the flattened device tree.
    fn kernel_main(fdt: usize) -> !;
}

extern "C" fn boot_main(r3: usize, _r4: usize, _r5: usize, _base: usize, _msr: usize) -> ! {
    // SAFETY: the entry code has set up stack, TOC, .bss and relocations.
    unsafe { kernel_main(r3) }
}
