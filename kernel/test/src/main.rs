//! The test image. Its boot order is the product's.
#![no_std]
#![no_main]

use postern_test::TestImage;

/// Called by the boot stage.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(fdt: usize, ordinary: usize) -> ! {
    // SAFETY: `boot` calls this once, with the machine as it left it.
    unsafe { postern_kernel::start(fdt, ordinary, &mut TestImage::default()) }
}
