//! Base address registers: sized, then placed by this kernel. What firmware left in them is not read.
//!
//! Source: PCI 3.0, 6.2.5.1. A function must not decode while this runs: see [`super::command::quiesce`].

use crate::pci::config::{ConfigError, ConfigSpace};
use crate::pci::windows::{Placement, Space, Windows};
use papr::device_id::DeviceId;
use papr::parts::{low_u8, low_u32};
use papr::platform::Width;
use papr::registers::Registers;
use thiserror::Error;

const FIRST_BAR: u16 = 0x10;
/// Offset of the expansion ROM's base address register (PCI 3.0, 6.2.5.2).
pub const ROM: u16 = 0x30;
const ROM_OF_BRIDGE: u16 = 0x38;
/// BARs of an endpoint.
pub const COUNT: u8 = 6;
const COUNT_OF_BRIDGE: u8 = 2;
const PREFETCHABLE: u32 = 1 << 3;

/// One BAR, sized and placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// I/O; otherwise memory.
    pub io: bool,
    /// Bytes; a power of two.
    pub len: u64,
    /// The registers, as the CPU reaches them. `None` for an I/O BAR without an I/O window.
    pub registers: Option<Registers>,
}

/// Why a BAR cannot be used; the function is not used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BarError {
    /// The access failed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Type bits without meaning: bits 3..0 as read.
    #[error("BAR {bar}: reserved type {bits:#x}")]
    ReservedType {
        /// Number of the BAR.
        bar: u8,
        /// Bits 3..0.
        bits: u8,
    },
    /// Type bits, but no address bits.
    #[error("BAR {bar}: no size")]
    NoSize {
        /// Number of the BAR.
        bar: u8,
    },
    /// Address bits with holes.
    #[error("BAR {bar}: size mask {mask:#x} has holes")]
    Holes {
        /// Number of the BAR.
        bar: u8,
        /// The value read after all ones were written.
        mask: u64,
    },
    /// A 64-bit BAR in the last place.
    #[error("BAR {bar}: 64-bit, in the last place")]
    NoSecondHalf {
        /// Number of the BAR.
        bar: u8,
    },
    /// No room in the windows.
    #[error("BAR {bar}: no {space} room for {len:#x} bytes")]
    NoRoom {
        /// Number of the BAR.
        bar: u8,
        /// The address space that it needs.
        space: Space,
        /// Length in bytes.
        len: u64,
    },
    /// The address did not read back.
    #[error("BAR {bar}: {wanted:#x} written, {found:#x} read back")]
    NotTaken {
        /// Number of the BAR.
        bar: u8,
        /// Address that was written.
        wanted: u64,
        /// Address that was read back.
        found: u64,
    },
}

/// The BARs of one function. The second half of a 64-bit BAR has no entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bars([Option<Bar>; COUNT as usize]);

impl Bars {
    /// BAR `index`; `None` for one that does not exist, whatever the number.
    #[must_use]
    pub fn get(&self, index: u8) -> Option<Bar> {
        self.0.get(usize::from(index)).copied().flatten()
    }

    /// The first I/O BAR with registers, and these registers.
    #[must_use]
    pub fn first_io(&self) -> Option<(Bar, Registers)> {
        self.0.iter().flatten().find_map(|bar| bar.io.then_some(*bar).zip(bar.registers))
    }
}

/// Sizes and places every BAR of an endpoint, and disables its expansion ROM.
///
/// # Errors
/// The first unusable BAR.
pub fn assign(config: &impl ConfigSpace, at: DeviceId, windows: &mut Windows) -> Result<Bars, BarError> {
    assign_first(COUNT, ROM, config, at, windows)
}

/// As [`assign`], for a bridge's own BARs. Nobody uses them, but they must not overlap another function's.
///
/// # Errors
/// The first unusable BAR.
pub fn assign_of_bridge(
    config: &impl ConfigSpace,
    at: DeviceId,
    windows: &mut Windows,
) -> Result<Bars, BarError> {
    assign_first(COUNT_OF_BRIDGE, ROM_OF_BRIDGE, config, at, windows)
}

fn assign_first(
    count: u8,
    rom: u16,
    config: &impl ConfigSpace,
    at: DeviceId,
    windows: &mut Windows,
) -> Result<Bars, BarError> {
    let mut bars = Bars::default();
    let mut second_half = false;
    config.write(at, rom, Width::W32, 0)?;
    for (bar, entry) in (0..count).zip(bars.0.iter_mut()) {
        if second_half {
            second_half = false;
            continue;
        }
        if let Some(sized) = size(config, at, bar, count)? {
            *entry = Some(place(config, at, bar, &sized, windows)?);
            second_half = sized.wide;
        }
    }
    Ok(bars)
}

/// A BAR's properties, read back after all ones were written.
struct Sized {
    io: bool,
    wide: bool,
    len: u64,
    /// Type bits, which are written back with the address.
    kind: u32,
}

fn register(bar: u8) -> u16 {
    u16::from(bar).wrapping_mul(4).wrapping_add(FIRST_BAR)
}

fn size(config: &impl ConfigSpace, at: DeviceId, bar: u8, count: u8) -> Result<Option<Sized>, BarError> {
    let low = ones(config, at, bar)?;
    if low == 0 {
        return Ok(None);
    }
    let io = low & 1 != 0;
    let kind = low & if io { 0b11 } else { 0b1111 };
    let wide = match kind & 0b111 {
        // I/O: bit 1 is reserved. Memory: bits 2..1 are 00 for 32 bits, 10 for 64.
        _ if io && kind == 0b01 => false,
        0b000 => false,
        0b100 => true,
        _ => return Err(BarError::ReservedType { bar, bits: low_u8(kind.into()) }),
    };
    let high = if !wide {
        // Set the upper bits, for the test below. Devices may leave out the upper half of I/O.
        if io && low >> 16 == 0 { 0xffff_ffff_ffff_0000 } else { 0xffff_ffff_0000_0000 }
    } else if bar.wrapping_add(1) < count {
        u64::from(ones(config, at, bar.wrapping_add(1))?) << 32
    } else {
        return Err(BarError::NoSecondHalf { bar });
    };
    let address = u64::from(low ^ kind);
    if (if wide { high | address } else { address }) == 0 {
        return Err(BarError::NoSize { bar });
    }
    let mask = high | address;
    let len = mask.wrapping_neg();
    if !len.is_power_of_two() {
        return Err(BarError::Holes { bar, mask });
    }
    Ok(Some(Sized { io, wide, len, kind }))
}

fn ones(config: &impl ConfigSpace, at: DeviceId, bar: u8) -> Result<u32, ConfigError> {
    config.write(at, register(bar), Width::W32, u32::MAX)?;
    config.read(at, register(bar), Width::W32)
}

fn place(
    config: &impl ConfigSpace,
    at: DeviceId,
    bar: u8,
    sized: &Sized,
    windows: &mut Windows,
) -> Result<Bar, BarError> {
    let Sized { io, wide, len, kind } = *sized;
    let space = match (io, wide) {
        (true, _) => Space::Io,
        // Registers with read side effects are not prefetchable: a bridge forwards these below 4 GiB only.
        (false, true) if kind & PREFETCHABLE == 0 && windows.are_behind_bridge() => Space::Memory32,
        (false, true) => Space::Memory64,
        (false, false) => Space::Memory32,
    };
    let mut placement = windows.take(space, len);
    if placement.is_none() && space == Space::Memory64 {
        placement = windows.take(Space::Memory32, len);
    }
    let Some(Placement { bus, registers }) = placement else {
        // I/O decoding is never enabled for a function without an I/O address.
        if io {
            config.write(at, register(bar), Width::W32, 0)?;
            return Ok(Bar { io, len, registers: None });
        }
        return Err(BarError::NoRoom { bar, space, len });
    };
    config.write(at, register(bar), Width::W32, low_u32(bus) | kind)?;
    let mut found = u64::from(config.read(at, register(bar), Width::W32)? & !if io { 0b11 } else { 0b1111 });
    if wide {
        let second = register(bar.wrapping_add(1));
        config.write(at, second, Width::W32, (bus >> 32) as u32)?;
        found |= u64::from(config.read(at, second, Width::W32)?) << 32;
    }
    if found != bus {
        return Err(BarError::NotTaken { bar, wanted: bus, found });
    }
    Ok(Bar { io, len, registers: Some(registers) })
}
