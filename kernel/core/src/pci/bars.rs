//! Base address registers: sized, then placed by this kernel. What firmware left in them is not read.
//!
//! Source: PCI 3.0, 6.2.5.1. A function must not decode while this runs: see [`super::command::quiesce`].

use crate::parts::{low_u8, low_u32};
use crate::pci::config::{ConfigError, ConfigSpace};
use crate::pci::device_id::DeviceId;
use crate::pci::registers::Registers;
use crate::pci::windows::{Placement, Space, Windows};
use crate::seam::Width;
use core::fmt;

const FIRST_BAR: u16 = 0x10;
const ROM: u16 = 0x30;
const ROM_OF_BRIDGE: u16 = 0x38;
/// BARs of an endpoint.
pub const COUNT: u8 = 6;
const COUNT_OF_BRIDGE: u8 = 2;
const PREFETCHABLE: u32 = 1 << 3;

/// One BAR, sized and placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Memory, as it can be reached; or I/O.
    pub io: bool,
    /// Bytes; a power of two.
    pub len: u64,
    /// Where the CPU finds it. `None` for an I/O BAR of a bridge without an I/O window.
    pub registers: Option<Registers>,
}

/// A BAR that cannot be used; the function is not to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarError {
    /// The access failed.
    Config(ConfigError),
    /// Type bits without meaning: bits 3..0 as read.
    ReservedType {
        /// Which BAR.
        bar: u8,
        /// Bits 3..0.
        bits: u8,
    },
    /// Type bits, but no address bits.
    NoSize {
        /// Which BAR.
        bar: u8,
    },
    /// Address bits with holes.
    Holes {
        /// Which BAR.
        bar: u8,
        /// As read after writing ones.
        mask: u64,
    },
    /// A 64-bit BAR in the last place.
    NoSecondHalf {
        /// Which BAR.
        bar: u8,
    },
    /// No room in the windows.
    NoRoom {
        /// Which BAR.
        bar: u8,
        /// Where it would have to go.
        space: Space,
        /// Bytes.
        len: u64,
    },
    /// The address did not read back.
    NotTaken {
        /// Which BAR.
        bar: u8,
        /// As written.
        wanted: u64,
        /// As read, without type bits.
        found: u64,
    },
}

impl From<ConfigError> for BarError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::ReservedType { bar, bits } => write!(f, "BAR {bar}: reserved type {bits:#x}"),
            Self::NoSize { bar } => write!(f, "BAR {bar}: no size"),
            Self::Holes { bar, mask } => write!(f, "BAR {bar}: size mask {mask:#x} has holes"),
            Self::NoSecondHalf { bar } => write!(f, "BAR {bar}: 64-bit, in the last place"),
            Self::NoRoom { bar, space, len } => write!(f, "BAR {bar}: no {space} room for {len:#x} bytes"),
            Self::NotTaken { bar, wanted, found } => {
                write!(f, "BAR {bar}: {wanted:#x} written, {found:#x} read back")
            }
        }
    }
}

/// The BARs of one function. The second half of a 64-bit BAR is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bars([Option<Bar>; COUNT as usize]);

impl Bars {
    /// BAR `index`; `None` for one that does not exist, whatever the number.
    #[must_use]
    pub fn get(&self, index: u8) -> Option<Bar> {
        self.0.get(usize::from(index)).copied().flatten()
    }

    /// The first I/O BAR that has a place, and its place.
    #[must_use]
    pub fn first_io(&self) -> Option<(Bar, Registers)> {
        self.0.iter().flatten().find_map(|bar| bar.io.then_some(*bar).zip(bar.registers))
    }
}

/// Sizes and places every BAR of an endpoint, and turns its expansion ROM off.
///
/// # Errors
/// The first BAR that is not as it should be.
pub fn assign(config: &impl ConfigSpace, at: DeviceId, windows: &mut Windows) -> Result<Bars, BarError> {
    assign_first(COUNT, ROM, config, at, windows)
}

/// The same for a bridge's own BARs, which nobody uses: they must not lie where another function's are.
///
/// # Errors
/// The first BAR that is not as it should be.
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

/// What writing all ones brought to light.
struct Sized {
    io: bool,
    wide: bool,
    len: u64,
    /// Type bits, to be written back with the address.
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
        // Upper bits are all there, for the test below. Devices may leave out the upper half of I/O.
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
        // What is read ahead of time would be harmed by it: a bridge forwards that below 4 GiB only.
        (false, true) if kind & PREFETCHABLE == 0 && windows.are_behind_bridge() => Space::Memory32,
        (false, true) => Space::Memory64,
        (false, false) => Space::Memory32,
    };
    let mut placement = windows.take(space, len);
    if placement.is_none() && space == Space::Memory64 {
        placement = windows.take(Space::Memory32, len);
    }
    let Some(Placement { bus, registers }) = placement else {
        // I/O is never switched on for a function that has not got any.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Gpa;
    use crate::pci::model::{Model, windows_of_qemu};
    use postern_cases::case;

    fn placed(gpa: u64, len: u64) -> Option<Registers> {
        Some(Registers::of_model(Gpa(gpa), len))
    }

    fn function() -> (Model, DeviceId) {
        let model = Model::default();
        let at = model.add(1, 0, 0x1af4, 0x1042);
        (model, at)
    }

    fn run(model: &Model, at: DeviceId) -> Result<Bars, BarError> {
        assign(model, at, &mut Windows::of_model(&windows_of_qemu(), &[]).unwrap())
    }

    #[test]
    fn bars_of_a_modern_virtio_function_are_placed() {
        let (model, at) = function();
        model.bar(at, 1, 0xffff_f000);
        model.bar(at, 4, 0xffff_c00c);
        model.bar(at, 5, 0xffff_ffff);
        let bars = run(&model, at).unwrap();
        assert_eq!(bars.get(0), None);
        assert_eq!(
            bars.get(1),
            Some(Bar { io: false, len: 0x1000, registers: placed(0x2000_8000_0000, 0x1000) })
        );
        assert_eq!(
            bars.get(4),
            Some(Bar { io: false, len: 0x4000, registers: placed(0x2100_0000_0000, 0x4000) })
        );
        assert_eq!(bars.get(5), None, "second half");
        assert_eq!(model.get(at, 0x10 + 4 * 4), 0x0000_000c);
        assert_eq!(model.get(at, 0x10 + 4 * 5), 0x2100);
    }

    #[test]
    fn io_bar_of_a_serial_port_gets_a_guest_address() {
        let (model, at) = function();
        model.bar(at, 0, 0xffff_fff9);
        let bars = run(&model, at).unwrap();
        assert_eq!(bars.first_io().unwrap().1.gpa(), Gpa(0x2000_0000_1000));
        assert_eq!(model.get(at, 0x10), 0x1001);
    }

    #[test]
    fn io_bar_with_sixteen_address_bits_is_sized() {
        let (model, at) = function();
        model.bar(at, 0, 0x0000_ffe1);
        assert_eq!(run(&model, at).unwrap().get(0).unwrap().len, 0x20);
    }

    #[test]
    fn io_bar_without_an_io_window_is_left_without_a_place() {
        let (model, at) = function();
        model.bar(at, 0, 0xffff_ffe1);
        let mut windows = Windows::of_model(&windows_of_qemu()[1..], &[]).unwrap();
        let bars = assign(&model, at, &mut windows).unwrap();
        assert_eq!(bars.get(0), Some(Bar { io: true, len: 0x20, registers: None }));
        assert_eq!(bars.first_io(), None);
    }

    #[test]
    fn wide_bar_goes_to_the_narrow_window_where_there_is_no_other() {
        let (model, at) = function();
        model.bar(at, 4, 0xffff_c004);
        model.bar(at, 5, 0xffff_ffff);
        let mut windows = Windows::of_model(&windows_of_qemu()[..2], &[]).unwrap();
        let bars = assign(&model, at, &mut windows).unwrap();
        assert_eq!(bars.get(4).unwrap().registers.map(|place| place.gpa()), Some(Gpa(0x2000_8000_0000)));
    }

    #[test]
    fn firmware_placement_is_ignored() {
        case!("BAR-04", Ignore);
        let (model, at) = function();
        model.bar(at, 1, 0xffff_f000);
        model.set(at, 0x14, 0x0010_0000);
        assert_eq!(
            run(&model, at).unwrap().get(1).unwrap().registers.map(|place| place.gpa()),
            Some(Gpa(0x2000_8000_0000))
        );
    }

    #[test]
    fn expansion_rom_is_turned_off() {
        let (model, at) = function();
        model.set(at, ROM, 0xc000_0001);
        run(&model, at).unwrap();
        assert_eq!(model.get(at, ROM), 0);
    }

    #[test]
    fn size_of_zero_is_refused_not_replaced_by_firmware_values() {
        case!("BAR-01", Refuse);
        for bits in [0x8, 0x1] {
            let (model, at) = function();
            model.bar(at, 0, bits);
            assert_eq!(run(&model, at), Err(BarError::NoSize { bar: 0 }), "{bits:#x}");
        }
        let (model, at) = function();
        model.bar(at, 2, 0x4);
        assert_eq!(run(&model, at), Err(BarError::NoSize { bar: 2 }));
    }

    #[test]
    fn wide_bar_in_the_last_place_is_refused() {
        case!("BAR-03", Refuse);
        let (model, at) = function();
        model.bar(at, 5, 0xffff_f004);
        assert_eq!(run(&model, at), Err(BarError::NoSecondHalf { bar: 5 }));
    }

    #[test]
    fn second_half_is_never_a_bar_of_its_own() {
        case!("BAR-03", Refuse);
        let (model, at) = function();
        model.bar(at, 0, 0xffff_f004);
        model.bar(at, 1, 0xffff_f000);
        // The second half has 12 bits fixed to 0: no power of two.
        assert!(matches!(run(&model, at), Err(BarError::Holes { bar: 0, .. })));
    }

    #[test]
    fn reserved_types_are_refused() {
        case!("BAR-07", Refuse);
        for bits in [0x2, 0x6, 0xa, 0xe, 0x3] {
            let (model, at) = function();
            model.bar(at, 0, 0xffff_f000 | bits);
            assert_eq!(
                run(&model, at),
                Err(BarError::ReservedType { bar: 0, bits: bits as u8 }),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn holes_in_the_size_are_refused() {
        let (model, at) = function();
        model.bar(at, 0, 0xfff0_f000);
        assert!(matches!(run(&model, at), Err(BarError::Holes { bar: 0, .. })));
    }

    #[test]
    fn bar_larger_than_its_window_is_refused() {
        let (model, at) = function();
        model.bar(at, 0, 0x8000_0000);
        model.bar(at, 1, 0xffff_f000);
        let no_room = BarError::NoRoom { bar: 1, space: Space::Memory32, len: 0x1000 };
        assert_eq!(run(&model, at), Err(no_room), "the first took all of it");
        let (model, at) = function();
        model.bar(at, 0, 0x0000_0004);
        model.bar(at, 1, 0x8000_0000);
        assert!(matches!(run(&model, at), Err(BarError::NoRoom { bar: 0, .. })));
    }

    #[test]
    fn address_that_does_not_read_back_is_refused() {
        case!("BAR-06", Refuse);
        let (model, at) = function();
        model.bar(at, 0, 0xffff_f000);
        model.stick(at, 0x10, 0xdead_0000);
        let not_taken = BarError::NotTaken { bar: 0, wanted: 0x8000_0000, found: 0xdead_0000 };
        assert_eq!(run(&model, at), Err(not_taken));
    }

    #[test]
    fn removed_function_is_refused() {
        case!("CAP-14", Refuse);
        let (model, at) = function();
        model.remove(at);
        assert!(run(&model, at).is_err());
    }
}
