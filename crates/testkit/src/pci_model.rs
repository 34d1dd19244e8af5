//! A bus of functions in memory, honest where a test does not say otherwise.

use papr::addr::Gpa;
use papr::device_id::DeviceId;
use papr::platform::Width;
use papr::rtas::RtasError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use virtio_pci::pci::config::{ConfigError, ConfigSpace, check};
use virtio_pci::pci::windows::{Space, Window};

/// One function's config space.
struct Space256 {
    bytes: [u8; 256],
    /// Bits that writes change; the rest keeps its value.
    writable: [u8; 256],
    /// A register that reads as this, once an address has been written to it.
    stuck: Option<(u16, u32)>,
}

/// The buses. Tests name a function by the bus that it is wired to, of which the host bridge's own is 0 and others are
/// numbered as they are added; config accesses reach it by the numbers that bridges were given.
#[derive(Default)]
pub struct Model {
    functions: RefCell<BTreeMap<DeviceId, Space256>>,
    /// Which bus is wired to a bridge.
    wires: RefCell<BTreeMap<DeviceId, u8>>,
    domain: u16,
}

impl Model {
    /// Adds an endpoint without BARs and capabilities.
    pub fn add(&self, device: u8, function: u8, vendor: u16, id: u16) -> DeviceId {
        self.add_on(0, device, function, vendor, id)
    }

    /// Buses behind the host bridge of this domain.
    pub fn of(domain: u16) -> Self {
        Self { domain, ..Self::default() }
    }

    /// Adds an endpoint on the bus with this wire.
    pub fn add_on(&self, wire: u8, device: u8, function: u8, vendor: u16, id: u16) -> DeviceId {
        let at = DeviceId::new(self.domain, wire, device, function).unwrap();
        let mut writable = [0; 256];
        writable[0x04..0x06].fill(0xff);
        writable[0x30..0x34].fill(0xff);
        self.functions.borrow_mut().insert(at, Space256 { bytes: [0; 256], writable, stuck: None });
        self.set(at, 0, u32::from(id) << 16 | u32::from(vendor));
        at
    }

    /// Adds a bridge as QEMU's `pci-bridge` is, as firmware may have left it, and answers the wire behind it.
    pub fn add_bridge(&self, wire: u8, device: u8) -> (DeviceId, u8) {
        let at = self.add_on(wire, device, 0, 0x1b36, 1);
        let behind = self.wires.borrow().len() as u8 + 1;
        self.set8(at, 0x0e, 1);
        self.set(at, 0x08, 0x0604_0000);
        self.set(at, 0x18, 0x00ff_0107);
        self.set(at, 0x1c, 0x0000_4010);
        self.set(at, 0x20, 0x9000_8000);
        self.set(at, 0x24, 0x0001_0001);
        for (register, mask) in [
            (0x18, 0xffff_ffff),
            (0x1c, 0x0000_f0f0),
            (0x20, 0xfff0_fff0),
            (0x24, 0xfff0_fff0),
            (0x28, 0xffff_ffff),
            (0x2c, 0xffff_ffff),
            (0x38, 0xffff_f800),
            (0x3c, 0xffff_0000),
        ] {
            self.mask(at, register, mask);
        }
        self.wires.borrow_mut().insert(at, behind);
        (at, behind)
    }

    /// The function's own numbers now: as `wire`, but with the bus that bridges give it.
    fn wired(&self, at: DeviceId) -> Option<DeviceId> {
        let mut wire = 0;
        while at.bus() != 0 {
            let functions = self.functions.borrow();
            let wires = self.wires.borrow();
            let (secondary, behind) = wires.iter().find_map(|(bridge, behind)| {
                let numbers = functions.get(bridge)?.bytes[0x18..0x1b].to_vec();
                let inside = numbers[1] != 0 && (numbers[1]..=numbers[2]).contains(&at.bus());
                (bridge.bus() == wire && inside).then_some((numbers[1], *behind))
            })?;
            wire = behind;
            if secondary == at.bus() {
                break;
            }
        }
        DeviceId::new(at.domain(), wire, at.device(), at.function())
    }

    fn mask(&self, at: DeviceId, register: u16, mask: u32) {
        let mut bus = self.functions.borrow_mut();
        let range = usize::from(register)..usize::from(register) + 4;
        bus.get_mut(&at).unwrap().writable[range].copy_from_slice(&mask.to_le_bytes());
    }

    pub fn remove(&self, at: DeviceId) {
        self.functions.borrow_mut().remove(&at);
    }

    pub fn set(&self, at: DeviceId, register: u16, value: u32) {
        for (i, byte) in value.to_le_bytes().into_iter().enumerate() {
            self.set8(at, register + i as u16, byte);
        }
    }

    pub fn set8(&self, at: DeviceId, register: u16, value: u8) {
        self.functions.borrow_mut().get_mut(&at).unwrap().bytes[usize::from(register)] = value;
    }

    pub fn get(&self, function: DeviceId, register: u16) -> u32 {
        let at = usize::from(register)..usize::from(register) + 4;
        let bus = self.functions.borrow();
        u32::from_le_bytes(bus[&function].bytes[at].try_into().unwrap())
    }

    /// A BAR that reads as `ones` after all ones were written: type bits are fixed, the others writable.
    pub fn bar(&self, at: DeviceId, bar: u16, ones: u32) {
        // Bits 3..0 of a memory BAR and 1..0 of an I/O BAR, but a second half has none of them.
        let fixed = if ones == u32::MAX {
            0
        } else if ones & 1 != 0 {
            0b11
        } else {
            0b1111
        };
        let register = 0x10 + 4 * bar;
        self.set(at, register, ones & fixed);
        let mut bus = self.functions.borrow_mut();
        let function = bus.get_mut(&at).unwrap();
        let range = usize::from(register)..usize::from(register) + 4;
        function.writable[range].copy_from_slice(&(ones & !fixed).to_le_bytes());
    }

    pub fn make_read_only(&self, at: DeviceId, register: u16) {
        let mut bus = self.functions.borrow_mut();
        let range = usize::from(register)..usize::from(register) + 4;
        bus.get_mut(&at).unwrap().writable[range].fill(0);
    }

    pub fn make_writable(&self, at: DeviceId, register: u16) {
        let mut bus = self.functions.borrow_mut();
        let range = usize::from(register)..usize::from(register) + 4;
        bus.get_mut(&at).unwrap().writable[range].fill(0xff);
    }

    /// From the first write of anything but all ones, `register` reads as `value`.
    pub fn stick(&self, at: DeviceId, register: u16, value: u32) {
        self.functions.borrow_mut().get_mut(&at).unwrap().stuck = Some((register, value));
    }
}

impl ConfigSpace for Model {
    fn domain(&self) -> u16 {
        self.domain
    }

    fn read(&self, at: DeviceId, register: u16, width: Width) -> Result<u32, ConfigError> {
        let bytes = check(register, width)? as usize;
        let at = self.wired(at).ok_or(ConfigError::Rtas(RtasError::Hardware))?;
        let bus = self.functions.borrow();
        let function = bus.get(&at).ok_or(ConfigError::Rtas(RtasError::Hardware))?;
        let mut value = [0; 4];
        let start = usize::from(register);
        value[..bytes].copy_from_slice(&function.bytes[start..start + bytes]);
        Ok(u32::from_le_bytes(value))
    }

    fn write(&self, at: DeviceId, register: u16, width: Width, value: u32) -> Result<(), ConfigError> {
        let bytes = check(register, width)? as usize;
        let at = self.wired(at).ok_or(ConfigError::Rtas(RtasError::Hardware))?;
        let mut bus = self.functions.borrow_mut();
        let function = bus.get_mut(&at).ok_or(ConfigError::Rtas(RtasError::Hardware))?;
        let value = match function.stuck {
            Some((stuck, instead)) if stuck == register && value != u32::MAX => instead,
            _ => value,
        };
        for (i, byte) in value.to_le_bytes().into_iter().take(bytes).enumerate() {
            let at = usize::from(register) + i;
            let writable = function.writable[at];
            function.bytes[at] = function.bytes[at] & !writable | byte & writable;
        }
        Ok(())
    }
}

/// `ranges` of QEMU's default host bridge: I/O, 32-bit and 64-bit memory.
pub fn windows_of_qemu() -> [Window; 3] {
    [
        Window { space: Space::Io, bus: 0, gpa: Gpa(0x2000_0000_0000), len: 0x1_0000 },
        Window { space: Space::Memory32, bus: 0x8000_0000, gpa: Gpa(0x2000_8000_0000), len: 0x8000_0000 },
        Window {
            space: Space::Memory64,
            bus: 0x2100_0000_0000,
            gpa: Gpa(0x2100_0000_0000),
            len: 0x100_0000_0000,
        },
    ]
}
