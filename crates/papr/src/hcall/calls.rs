//! One typed function per hcall. A function is safe when no argument can make the hypervisor write to this
//! guest's memory or let a device at it; it is `unsafe` when only the caller can know that.
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
/// What the hypervisor answered.
pub fn get_tce(hypervisor: &impl Hypervisor, liobn: u32, ioba: u64) -> Result<u64, HcallError> {
    // SAFETY: the call only reads a table of the hypervisor's.
    let [tce, ..] = unsafe { hypervisor.hcall(Hcall::GetTce, [liobn.into(), ioba, 0, 0]) }.ok()?;
    Ok(tce)
}

/// H_PUT_TCE: sets the entry of table `liobn` at bus address `ioba`.
///
/// # Errors
/// What the hypervisor answered.
///
/// # Safety
/// From now on a device may read or write the page that `tce` names, as its low bits say, for as long as the entry
/// stays. The page is device memory for as long; or this is an ordinary guest, which trusts its devices to write only
/// where their drivers told them to, as it has to of devices that use no table.
pub unsafe fn put_tce(
    hypervisor: &impl Hypervisor,
    liobn: u32,
    ioba: u64,
    tce: u64,
) -> Result<(), HcallError> {
    // SAFETY: that the page may be mapped is the caller's promise.
    unsafe { hypervisor.hcall(Hcall::PutTce, [liobn.into(), ioba, tce, 0]) }.ok().map(drop)
}

/// H_STUFF_TCE with an entry of zero: clears `count` entries, at most 512, from bus address `ioba` on.
///
/// # Errors
/// What the hypervisor answered.
pub fn clear_tces(hypervisor: &impl Hypervisor, liobn: u32, ioba: u64, count: u64) -> Result<(), HcallError> {
    // SAFETY: an entry of zero lets no device at any memory.
    unsafe { hypervisor.hcall(Hcall::StuffTce, [liobn.into(), ioba, 0, count]) }.ok().map(drop)
}

/// H_LOGICAL_CI_LOAD: the value at `at` as a big-endian CPU would see it.
///
/// # Errors
/// What the hypervisor answered.
pub fn logical_ci_load(hypervisor: &impl Hypervisor, width: Width, at: Gpa) -> Result<u64, HcallError> {
    // SAFETY: the call reads. A register's side effect is the device's.
    let [value, ..] = unsafe { hypervisor.hcall(Hcall::LogicalCiLoad, [width.bytes(), at.0, 0, 0]) }.ok()?;
    Ok(value)
}

/// H_LOGICAL_CI_STORE: stores `value`, as a big-endian CPU would.
///
/// # Errors
/// What the hypervisor answered.
///
/// # Safety
/// The `width` bytes at `at` are no memory of this guest: the hypervisor may store to any address (QEMU
/// `hw/ppc/spapr_hcall.c`, `h_logical_store`, uses `stb_phys`).
pub unsafe fn logical_ci_store(
    hypervisor: &impl Hypervisor,
    width: Width,
    at: Gpa,
    value: u64,
) -> Result<(), HcallError> {
    // SAFETY: that no memory lies there is the caller's promise.
    unsafe { hypervisor.hcall(Hcall::LogicalCiStore, [width.bytes(), at.0, value, 0]) }.ok().map(drop)
}

/// H_GET_TERM_CHAR: what was typed at terminal `number`, and how many bytes of it the hypervisor says there are.
///
/// # Errors
/// What the hypervisor answered.
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
/// What the hypervisor answered.
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

/// H_XIRR: what has arrived at this CPU, in the lower 32 bits; see `virtio_pci::interrupts::Xirr`.
///
/// # Errors
/// What the hypervisor answered.
pub fn xirr(hypervisor: &impl Hypervisor) -> Result<u64, HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    let [xirr, ..] = unsafe { hypervisor.hcall(Hcall::Xirr, [0; 4]) }.ok()?;
    Ok(xirr)
}

/// H_EOI: the interrupt of `xirr` is done with, and its top byte is the priority from now on.
///
/// # Errors
/// What the hypervisor answered.
pub fn eoi(hypervisor: &impl Hypervisor, xirr: u32) -> Result<(), HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    unsafe { hypervisor.hcall(Hcall::Eoi, [xirr.into(), 0, 0, 0]) }.ok().map(drop)
}

/// H_CPPR: what is not more urgent than `priority` is kept back from this CPU.
///
/// # Errors
/// What the hypervisor answered.
pub fn cppr(hypervisor: &impl Hypervisor, priority: u8) -> Result<(), HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    unsafe { hypervisor.hcall(Hcall::Cppr, [priority.into(), 0, 0, 0]) }.ok().map(drop)
}

/// H_IPI: sets the priority of CPU `server`'s request; 0xff takes it back.
///
/// # Errors
/// What the hypervisor answered.
pub fn ipi(hypervisor: &impl Hypervisor, server: u32, priority: u8) -> Result<(), HcallError> {
    // SAFETY: the call changes the interrupt controller only.
    unsafe { hypervisor.hcall(Hcall::Ipi, [server.into(), priority.into(), 0, 0]) }.ok().map(drop)
}

/// H_REGISTER_PROC_TBL: translation by the radix process table of `1 << size_log2` bytes at `base`.
///
/// # Errors
/// What the hypervisor answered.
///
/// # Safety
/// The table and all that it points to stay, and map whatever a CPU with translation on uses at the addresses
/// where Rust code takes it to be.
pub unsafe fn register_process_table(
    hypervisor: &impl Hypervisor,
    base: Gpa,
    size_log2: u32,
) -> Result<(), HcallError> {
    let args = [NEW_RADIX_GTSE, base.0, 0, u64::from(size_log2.saturating_sub(12))];
    // SAFETY: what the tables map is the caller's promise.
    unsafe { hypervisor.hcall(Hcall::RegisterProcTbl, args) }.ok().map(drop)
}

/// H_RTAS with the argument block at `block`. The status is in the block; r3 says nothing in a secure guest.
///
/// # Safety
/// The block is a whole argument block (PAPR+ 7.2.1) in memory that the caller owns, and what its service does
/// with its arguments harms nothing that Rust code relies on.
pub unsafe fn rtas(hypervisor: &impl Hypervisor, block: Gpa) {
    // SAFETY: block and service are the caller's promise.
    let _ = unsafe { hypervisor.hcall(Hcall::Rtas, [block.0, 0, 0, 0]) };
}
