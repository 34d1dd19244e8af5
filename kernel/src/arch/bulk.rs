//! What the compiler calls to move or clear values that are too large for registers.

/// Copies `len` bytes that do not overlap, by the unrolled loop of doublewords that the pool is copied with.
///
/// # Safety
/// As C has it (ISO C 7.24.2.1).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller promises what `copy` asks for; all memory of this kernel is RAM.
    unsafe { postern_arch::copy(to, from, len) };
    to
}

/// Writes `byte` to `len` bytes, zeros a cache block at a time.
///
/// # Safety
/// As C has it (ISO C 7.24.6.1).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller promises what `set` asks for; all memory of this kernel is RAM that is cached.
    unsafe { postern_arch::set(to, byte as u8, len) };
    to
}
