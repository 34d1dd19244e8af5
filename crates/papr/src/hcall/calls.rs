//! One typed function per hcall. A function is safe if no argument makes the hypervisor write to this guest's memory or
//! give a device access to it. It is `unsafe` if only the caller can ensure that.
#![allow(unsafe_code, reason = "each function makes one hcall whose effect on memory it states")]

use super::{Hcall, HcallError};
use crate::addr::Gpa;
use crate::platform::{Hypervisor, Width};

/// Bytes that one terminal call carries.
pub const TERMINAL_BYTES: usize = 16;

/// Arguments of H_SET_MODE (PAPR+ 14.5.4.3.5), which `boot` calls before anything else: resource 4 is the byte order
/// of interrupts, flag 1 little-endian.
pub const LITTLE_ENDIAN_INTERRUPTS: [u64; 4] = [1, 4, 0, 0];

/// H_REGISTER_PROC_TBL flags (PAPR+ 14.5.4.5.1): a new table (0x18), radix (4), guest translation shootdown
/// enabled (1).
const NEW_RADIX_GTSE: u64 = 0x18 | 0x4 | 0x1;

/// H_GET_TCE: the entry of table `liobn` at bus address `ioba`.
///
/// # Errors
/// The hypervisor's error.
pub fn get_tce(hypervisor: &impl Hypervisor, liobn: u32, ioba: u64) -> Result<u64, HcallError> {
    // SAFETY: the call only reads a table of the hypervisor's.
    let [tce, ..] = unsafe { hypervisor.hcall(Hcall::GetTce, [liobn.into(), ioba, 0, 0]) }.ok()?;
    Ok(tce)
}

/// H_PUT_TCE: sets the entry of table `liobn` at bus address `ioba`.
///
/// # Errors
/// The hypervisor's error.
///
/// # Safety
/// While the entry stays, a device may read or write the page that `tce` names, as its low bits say. The page is device
/// memory for all that time; or this is a normal guest, which trusts its devices to write only where their drivers told
/// them to, as it must trust devices that use no table.
pub unsafe fn put_tce(
    hypervisor: &impl Hypervisor,
    liobn: u32,
    ioba: u64,
    tce: u64,
) -> Result<(), HcallError> {
    // SAFETY: the caller promises that the page may be mapped.
    unsafe { hypervisor.hcall(Hcall::PutTce, [liobn.into(), ioba, tce, 0]) }.ok().map(drop)
}

/// H_STUFF_TCE with an entry of zero: clears `count` entries, at most 512, from bus address `ioba` on.
///
/// # Errors
/// The hypervisor's error.
pub fn clear_tces(hypervisor: &impl Hypervisor, liobn: u32, ioba: u64, count: u64) -> Result<(), HcallError> {
    // SAFETY: an entry of zero gives no device access to memory.
    unsafe { hypervisor.hcall(Hcall::StuffTce, [liobn.into(), ioba, 0, count]) }.ok().map(drop)
}

/// H_LOGICAL_CI_LOAD: the value at `at` as a big-endian CPU would see it.
///
/// # Errors
/// The hypervisor's error.
pub fn logical_ci_load(hypervisor: &impl Hypervisor, width: Width, at: Gpa) -> Result<u64, HcallError> {
    // SAFETY: the call only reads. A side effect of a register is the device's own.
    let [value, ..] = unsafe { hypervisor.hcall(Hcall::LogicalCiLoad, [width.bytes(), at.0, 0, 0]) }.ok()?;
    Ok(value)
}

/// H_LOGICAL_CI_STORE: stores `value`, as a big-endian CPU would.
///
/// # Errors
/// The hypervisor's error.
///
/// # Safety
/// No memory of this guest lies in the `width` bytes at `at`: the hypervisor stores to any address (QEMU
/// `hw/ppc/spapr_hcall.c`, `h_logical_store`, uses `stb_phys`).
pub unsafe fn logical_ci_store(
    hypervisor: &impl Hypervisor,
    width: Width,
    at: Gpa,
    value: u64,
) -> Result<(), HcallError> {
    // SAFETY: the caller promises that no memory lies there.
    unsafe { hypervisor.hcall(Hcall::LogicalCiStore, [width.bytes(), at.0, value, 0]) }.ok().map(drop)
}

/// H_GET_TERM_CHAR: bytes typed at terminal `number`, and their number as the hypervisor reports it.
///
/// # Errors
/// The hypervisor's error.
pub fn get_term_char(
    hypervisor: &impl Hypervisor,
    number: u32,
) -> Result<([u8; TERMINAL_BYTES], u64), HcallError> {
    // SAFETY: the bytes come in registers.
    let answer = unsafe { hypervisor.hcall(Hcall::GetTermChar, [number.into(), 0, 0, 0]) };
    let [len, high, low, _] = answer.ok()?;
    let bytes = u128::from(high).wrapping_shl(64) | u128::from(low);
    Ok((bytes.to_be_bytes(), len))
}

/// H_PUT_TERM_CHAR: writes up to [`TERMINAL_BYTES`] of `bytes` to terminal `number`; what is longer is cut.
///
/// # Errors
/// The hypervisor's error.
pub fn put_term_char(hypervisor: &impl Hypervisor, number: u32, bytes: &[u8]) -> Result<(), HcallError> {
    let mut packed = [0; TERMINAL_BYTES];
    let mut len = 0u64;
    for (slot, byte) in packed.iter_mut().zip(bytes) {
        *slot = *byte;
        len = len.saturating_add(1);
    }
    let [high, low] = halves(u128::from_be_bytes(packed));
    // SAFETY: the bytes go in registers.
    unsafe { hypervisor.hcall(Hcall::PutTermChar, [number.into(), len, high, low]) }.ok().map(drop)
}

/// The upper and the lower 64 bits.
fn halves(value: u128) -> [u64; 2] {
    let upper = value.wrapping_shr(64);
    [upper, value & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0))
}

/// H_XIRR: accepts this CPU's most urgent pending interrupt. The XIRR is in the lower 32 bits; see
/// `virtio_pci::interrupts::Xirr`.
///
/// # Errors
/// The hypervisor's error.
pub fn xirr(hypervisor: &impl Hypervisor) -> Result<u64, HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    let [xirr, ..] = unsafe { hypervisor.hcall(Hcall::Xirr, [0; 4]) }.ok()?;
    Ok(xirr)
}

/// H_EOI: ends the interrupt of `xirr` and sets the CPU's priority to its top byte.
///
/// # Errors
/// The hypervisor's error.
pub fn eoi(hypervisor: &impl Hypervisor, xirr: u32) -> Result<(), HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    unsafe { hypervisor.hcall(Hcall::Eoi, [xirr.into(), 0, 0, 0]) }.ok().map(drop)
}

/// H_CPPR: masks this CPU's interrupts that are not more urgent than `priority`.
///
/// # Errors
/// The hypervisor's error.
pub fn cppr(hypervisor: &impl Hypervisor, priority: u8) -> Result<(), HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    unsafe { hypervisor.hcall(Hcall::Cppr, [priority.into(), 0, 0, 0]) }.ok().map(drop)
}

/// H_IPI: requests an interrupt of CPU `server` with this priority; 0xff withdraws the request.
///
/// # Errors
/// The hypervisor's error.
pub fn ipi(hypervisor: &impl Hypervisor, server: u32, priority: u8) -> Result<(), HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    unsafe { hypervisor.hcall(Hcall::Ipi, [server.into(), priority.into(), 0, 0]) }.ok().map(drop)
}

/// H_REGISTER_PROC_TBL: enables radix translation by the process table of `1 << size_log2` bytes at `base`.
///
/// # Errors
/// The hypervisor's error.
///
/// # Safety
/// The table and everything that it points to stay in place. They map all that a CPU with translation on uses, at the
/// addresses that Rust code expects.
pub unsafe fn register_process_table(
    hypervisor: &impl Hypervisor,
    base: Gpa,
    size_log2: u32,
) -> Result<(), HcallError> {
    let args = [NEW_RADIX_GTSE, base.0, 0, u64::from(size_log2.saturating_sub(12))];
    // SAFETY: the caller promises what the tables map.
    unsafe { hypervisor.hcall(Hcall::RegisterProcTbl, args) }.ok().map(drop)
}

/// H_RTAS with the argument block at `block`. The status is in the block; r3 is meaningless in a secure guest.
///
/// # Safety
/// The block is a whole argument block (PAPR+ 7.2.1) in memory that the caller owns, and the service, with these
/// arguments, changes no memory that Rust code relies on.
pub unsafe fn rtas(hypervisor: &impl Hypervisor, block: Gpa) {
    // SAFETY: the caller promises that block and service are harmless.
    let _ = unsafe { hypervisor.hcall(Hcall::Rtas, [block.0, 0, 0, 0]) };
}
