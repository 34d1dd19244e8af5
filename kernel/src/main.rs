//! The boot order.
#![no_std]
#![no_main]

use postern_boot as _;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        postern_arch::relax();
    }
}

fn put(s: &[u8]) {
    for chunk in s.chunks(16) {
        let mut words = [0u8; 16];
        words[..chunk.len()].copy_from_slice(chunk);
        let hi = u64::from_be_bytes(words[..8].try_into().unwrap_or_default());
        let lo = u64::from_be_bytes(words[8..].try_into().unwrap_or_default());
        postern_arch::hcall(0x58, [0, chunk.len() as u64, hi, lo]);
    }
}

#[unsafe(no_mangle)]
extern "C" fn kernel_main(fdt: usize) -> ! {
    put(b"postern: hello\r\n");
    let table: [fn(&[u8]); 2] = [put, |_| put(b"relocated\r\n")];
    core::hint::black_box(&table)[1](b"");
    if fdt != 0 {
        put(b"fdt given\r\n");
    }
    loop {
        postern_arch::relax();
    }
}
