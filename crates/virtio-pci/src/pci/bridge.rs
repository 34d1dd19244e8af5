//! A PCI-to-PCI bridge: assigns its bus numbers and the addresses that it forwards.
//!
//! Firmware's values are overwritten without a read, and the new ones read back. Source: PCI-to-PCI Bridge Architecture
//! 1.2, 3.2.

use crate::pci::command::{CommandError, quiesce};
use crate::pci::config::{ConfigError, ConfigSpace};
use crate::pci::windows::{Forwards, Span, Spans};
use papr::device_id::DeviceId;
use papr::parts::low_u32;
use papr::platform::Width;
use thiserror::Error;

/// Most bridges between a device and its host bridge.
pub const MAX_DEPTH: usize = 8;

/// Primary, secondary and subordinate bus number in bits 7..0, 15..8 and 23..16; a timer above.
const BUS_NUMBERS: u16 = 0x18;
/// I/O base and limit, 4 KiB each step.
const IO: u16 = 0x1c;
/// Memory base and limit, 1 MiB each step.
const MEMORY: u16 = 0x20;
/// Prefetchable memory base and limit, 1 MiB each step; bits 3..0 of each are 1 where there are upper halves.
const PREFETCHABLE: u16 = 0x24;
const PREFETCHABLE_UPPER_BASE: u16 = 0x28;
const PREFETCHABLE_UPPER_LIMIT: u16 = 0x2c;
/// Upper halves of I/O base and limit.
const IO_UPPER: u16 = 0x30;
const CONTROL: u16 = 0x3e;

/// A base above its limit forwards nothing.
const IO_CLOSED: u32 = 0x00f0;
const MEMORY_CLOSED: u32 = 0x0000_fff0;
const ADDRESS_BITS: u32 = 0xfff0_fff0;

/// Why a bridge cannot be used; nothing behind it is used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BridgeError {
    /// The access failed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The bridge's command register failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Behind more bridges than [`MAX_DEPTH`].
    #[error("behind more than {MAX_DEPTH} bridges")]
    TooDeep,
    /// The host bridge has no bus number left.
    #[error("no bus number left")]
    NoBusNumber,
    /// Another bridge of the same bus, which cannot be closed, may answer for functions behind this one.
    #[error("{0} may answer for what is behind it")]
    HiddenBy(DeviceId),
    /// A register that did not read back as written.
    #[error("bridge register {register:#x}: {wanted:#x} written, {found:#x} read back")]
    NotTaken {
        /// Offset in config space.
        register: u16,
        /// Value that was written.
        wanted: u32,
        /// Value that was read back.
        found: u32,
    },
}

/// Disables the bridge's bus mastering, decoders, bus numbers and windows: nothing reaches the functions behind it, and
/// they reach no memory.
///
/// # Errors
/// A register does not read back as written.
pub fn close(config: &impl ConfigSpace, at: DeviceId) -> Result<(), BridgeError> {
    quiesce(config, at)?;
    // Neither resets the bus behind the bridge nor forwards legacy ranges.
    config.write(at, CONTROL, Width::W16, 0)?;
    forward(config, at, &Spans::default())?;
    set_numbers(config, at, 0, 0, 0)
}

/// Gives the bus behind the bridge the number `secondary`, and forwards config accesses up to bus `subordinate`.
///
/// # Errors
/// The register does not read back as written.
pub fn open(
    config: &impl ConfigSpace,
    at: DeviceId,
    secondary: u8,
    subordinate: u8,
) -> Result<(), BridgeError> {
    set_numbers(config, at, at.bus(), secondary, subordinate)
}

fn set_numbers(
    config: &impl ConfigSpace,
    at: DeviceId,
    primary: u8,
    secondary: u8,
    subordinate: u8,
) -> Result<(), BridgeError> {
    let timer = config.read(at, BUS_NUMBERS, Width::W32)? & 0xff00_0000;
    let numbers = u32::from_le_bytes([primary, secondary, subordinate, 0]);
    set(config, at, BUS_NUMBERS, Width::W32, timer | numbers, 0x00ff_ffff)
}

/// What a closed bridge is able to forward.
///
/// # Errors
/// The registers cannot be read.
pub fn forwards(config: &impl ConfigSpace, at: DeviceId) -> Result<Forwards, ConfigError> {
    Ok(Forwards {
        io: config.read(at, IO, Width::W16)? & 0xf0f0 == IO_CLOSED,
        memory64: config.read(at, PREFETCHABLE, Width::W32)? & 0x000f_000f == 0x0001_0001,
    })
}

/// Forwards accesses to these bus addresses, and no others.
///
/// # Errors
/// A register does not read back as written.
pub fn forward(config: &impl ConfigSpace, at: DeviceId, spans: &Spans) -> Result<(), BridgeError> {
    let io = spans.io.map_or(IO_CLOSED, |Span { first, last }| io_bits(first) | io_bits(last) << 8);
    config.write(at, IO, Width::W16, io)?;
    let found = config.read(at, IO, Width::W16)?;
    // A bridge that forwards no I/O has no such register.
    if found & 0xf0f0 != io && (spans.io.is_some() || found & 0xf0f0 != 0) {
        return Err(BridgeError::NotTaken { register: IO, wanted: io, found });
    }
    config.write(at, IO_UPPER, Width::W32, 0)?;
    set(config, at, MEMORY, Width::W32, memory_bits(spans.memory32), ADDRESS_BITS)?;
    // The upper halves of a closed window do not matter; these values keep it closed until the end.
    config.write(at, PREFETCHABLE, Width::W32, MEMORY_CLOSED)?;
    let Some(Span { first, last }) = spans.memory64 else { return Ok(()) };
    set(config, at, PREFETCHABLE_UPPER_BASE, Width::W32, (first >> 32) as u32, u32::MAX)?;
    set(config, at, PREFETCHABLE_UPPER_LIMIT, Width::W32, (last >> 32) as u32, u32::MAX)?;
    set(config, at, PREFETCHABLE, Width::W32, memory_bits(spans.memory64), ADDRESS_BITS)
}

/// Bits 15..12 of an I/O address, where the register has them.
const fn io_bits(address: u64) -> u32 {
    low_u32(address >> 8) & 0xf0
}

/// Bits 31..20 of base and limit, where the register has them.
fn memory_bits(span: Option<Span>) -> u32 {
    let bits = |address: u64| low_u32(address >> 16) & 0xfff0;
    span.map_or(MEMORY_CLOSED, |Span { first, last }| bits(first) | bits(last) << 16)
}

fn set(
    config: &impl ConfigSpace,
    at: DeviceId,
    register: u16,
    width: Width,
    wanted: u32,
    matters: u32,
) -> Result<(), BridgeError> {
    config.write(at, register, width, wanted)?;
    let found = config.read(at, register, width)?;
    if (found ^ wanted) & matters != 0 {
        return Err(BridgeError::NotTaken { register, wanted, found });
    }
    Ok(())
}
