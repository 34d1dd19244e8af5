//! Config space with arbitrary content.

use super::script::Script;
use crate::unchecked::windows;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;
use papr::addr::{Gpa, GpaRange};
use papr::device_id::DeviceId;
use papr::platform::Width;
use papr::rtas::RtasError;
use virtio_pci::pci::bars::Bars;
use virtio_pci::pci::command::{self, Command};
use virtio_pci::pci::config::{ConfigError, ConfigSpace, check};
use virtio_pci::pci::functions::Header;
use virtio_pci::pci::placement::place;
use virtio_pci::pci::scan::{MAX_FUNCTIONS, scan};
use virtio_pci::pci::windows::{Space, Window};
use virtio_pci::virtio::regions::Regions;

/// Functions that answer, at most: the scan of a full bus is a test of its own.
const FUNCTIONS: u8 = 3;

/// What a function's configuration space holds, and which of its bits can be written.
type Content = ([u8; 256], [u8; 256]);

/// Functions, and a host that may answer otherwise.
struct Bus<'a> {
    functions: RefCell<BTreeMap<DeviceId, Content>>,
    /// What reads answer in place of what was written, and how often: once in so many, if not 0.
    faults: RefCell<Script<'a>>,
    one_in: u16,
}

impl ConfigSpace for Bus<'_> {
    fn domain(&self) -> u16 {
        0
    }

    fn read(&self, at: DeviceId, register: u16, width: Width) -> Result<u32, ConfigError> {
        let bytes = check(register, width)? as usize;
        let mut faults = self.faults.borrow_mut();
        if self.one_in > 0 && faults.one_in(self.one_in) {
            return match faults.byte() {
                0 => Err(ConfigError::Rtas(RtasError::Hardware)),
                1 => Ok(u32::MAX >> (32 - 8 * bytes)),
                _ => Ok(faults.u32() & u32::MAX >> (32 - 8 * bytes)),
            };
        }
        let functions = self.functions.borrow();
        let Some((content, _)) = functions.get(&at) else { return Ok(u32::MAX >> (32 - 8 * bytes)) };
        let mut value = [0; 4];
        value[..bytes].copy_from_slice(&content[usize::from(register)..usize::from(register) + bytes]);
        Ok(u32::from_le_bytes(value))
    }

    fn write(&self, at: DeviceId, register: u16, width: Width, value: u32) -> Result<(), ConfigError> {
        let bytes = check(register, width)? as usize;
        if let Some((content, writable)) = self.functions.borrow_mut().get_mut(&at) {
            for (i, byte) in value.to_le_bytes().into_iter().take(bytes).enumerate() {
                let at = usize::from(register) + i;
                content[at] = content[at] & !writable[at] | byte & writable[at];
            }
        }
        Ok(())
    }
}

/// Probes a bus, as the kernel does. See [`crate::hostile`].
pub fn pci(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let memory = [GpaRange { start: Gpa(0), len: 1 << 30 }];
    let mut ranges = Vec::from([
        Window { space: Space::Io, bus: 0, gpa: Gpa(0x2000_0000_0000), len: 0x1_0000 },
        Window { space: Space::Memory32, bus: 0x8000_0000, gpa: Gpa(0x2000_8000_0000), len: 0x8000_0000 },
        Window { space: Space::Memory64, bus: 0x2100_0000_0000, gpa: Gpa(0x2100_0000_0000), len: 1 << 40 },
    ]);
    if script.one_in(8) {
        let which = script.below(3);
        let space = ranges[which].space;
        ranges[which] = Window { space, bus: script.u64(), gpa: Gpa(script.u64()), len: script.u64() };
    }
    let Ok(mut windows) = windows(&ranges, &memory) else { return };
    for window in &ranges {
        let span = GpaRange::new(window.gpa, window.len).expect("an accepted window does not wrap");
        assert!(!memory[0].overlaps(&span));
    }
    let bus = bus(&mut script);
    let mut taken: Vec<GpaRange> = Vec::new();
    let found = scan(&bus, (0, script.byte()));
    assert!(found.functions.len() <= MAX_FUNCTIONS);
    let mut functions = found.functions;
    functions
        .retain(|function| function.header == Header::Bridge || command::quiesce(&bus, function.at).is_ok());
    for (at, bars) in place(&bus, &functions, &|function| function.vendor == 0x1af4, &mut windows) {
        let Ok(bars) = bars else { continue };
        let _ = command::enable_decoding(&bus, at, Command::MEMORY);
        note(&bars, &ranges, &mut taken);
        if let Ok(regions) = Regions::find(&bus, at, &bars) {
            let all = [Some(regions.common), Some(regions.notify), regions.isr, regions.device];
            for region in all.into_iter().flatten() {
                let inside = taken.iter().any(|bar| bar.contains(region.gpa(), region.len()));
                assert!(inside, "{region:x?} is in no BAR");
                assert_eq!(region.register(region.len() as u32, Width::W8), None);
            }
        }
    }
}

/// BARs lie in the windows, and nowhere twice.
fn note(bars: &Bars, ranges: &[Window], taken: &mut Vec<GpaRange>) {
    for bar in (0..6).filter_map(|index| bars.get(index)) {
        let Some(gpa) = bar.registers.map(|place| place.gpa()) else { continue };
        let range = GpaRange::new(gpa, bar.len).expect("a BAR that does not wrap");
        let span = |window: &Window| GpaRange { start: window.gpa, len: window.len };
        assert!(ranges.iter().any(|window| span(window).contains(gpa, bar.len)), "{bar:x?}");
        assert!(taken.iter().all(|other| !other.overlaps(&range)), "{bar:x?}");
        taken.push(range);
    }
}

fn bus<'a>(script: &mut Script<'a>) -> Bus<'a> {
    let mut functions = BTreeMap::new();
    // Now and then the other functions are behind bridges, or what claims to be one; buses are wired by number,
    // whatever the bridges were told.
    let buses = if script.one_in(3) { 1 + script.byte() % 3 } else { 1 };
    for device in 1..=1 + script.byte() % FUNCTIONS {
        let mut content = [0; 256];
        let mut writable = [0; 256];
        content[..4].copy_from_slice(&[0xf4, 0x1a, 0x41 + script.byte() % 2, 0x10]);
        content[6] = 0x10;
        content[0x34] = 0x40;
        writable[4..6].fill(0xff);
        for bar in 0..6 {
            let mask = match script.below(6) {
                0 => continue,
                1 => script.u32(),
                2 => 0xffff_c00c,
                3 => 0xffff_ffe1,
                _ => 0xffff_f000,
            };
            let (fixed, place) = (if mask & 1 != 0 { 3 } else { 15 }, 0x10 + 4 * bar);
            content[place..place + 4].copy_from_slice(&(mask & fixed).to_le_bytes());
            writable[place..place + 4].copy_from_slice(&(mask & !fixed).to_le_bytes());
        }
        let at = 0x40 + usize::from(script.byte() & 0x3c);
        let len = usize::from(script.byte());
        let noise = script.take(len);
        for (byte, from) in content[at..].iter_mut().zip(noise) {
            *byte = *from;
        }
        if script.one_in(16) {
            content[usize::from(script.byte())] = script.byte();
        }
        let wire = script.byte() % buses;
        if buses > 1 && script.one_in(2) {
            content[0x0e] = 1;
            writable[0x18..0x30].fill(if script.one_in(4) { script.byte() } else { 0xff });
        }
        functions.insert(DeviceId::new(0, wire, device, 0).unwrap(), (content, writable));
    }
    let one_in = if script.one_in(4) { 2 + script.below(60) as u16 } else { 0 };
    Bus { functions: RefCell::new(functions), faults: RefCell::new(*script), one_in }
}
