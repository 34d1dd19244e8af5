//! The C functions that the compiler calls to move or clear large values.

/// Copies `len` bytes that do not overlap, with the doubleword loop of `postern_arch::copy`.
///
/// # Safety
/// As C has it (ISO C 7.24.2.1).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: C's promise is that `from` is readable and `to` writable for `len` bytes and that they do not overlap.
    // `copy` also wants RAM: the compiler moves values of the language alone, which lie in the image, on a stack or in
    // the heap, and no address of a device is mapped.
    unsafe { postern_arch::copy(to, from, len) };
    to
}

/// Writes `byte` to `len` bytes, zeros a cache block at a time.
///
/// # Safety
/// As C has it (ISO C 7.24.6.1).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // The byte is the argument's lowest (ISO C 7.24.6.1).
    let [byte, ..] = byte.to_le_bytes();
    // SAFETY: C's promise is that `to` is writable for `len` bytes. `set` also wants RAM that is cached, which is all
    // that values of the language lie in, as in `memcpy`; the MMU maps it without the cache-inhibited attribute.
    unsafe { postern_arch::set(to, byte, len) };
    to
}
