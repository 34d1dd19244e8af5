//! The machine's memory-mapped config space (PCI Express 3.0, 7.2.2).

use crate::machine::{CONFIG_SPACE, Virt};
use papr::device_id::DeviceId;
use papr::platform::Width;
use papr::registers::Mmio;
use papr::registers::{Register, Registers};
use virtio_pci::pci::config::{ConfigError, ConfigSpace, check};

/// The config space of the one host bridge.
pub struct Ecam(Registers);

impl Ecam {
    /// The machine's.
    pub fn new() -> Self {
        // SAFETY: the range is the bridge's, which lies outside of RAM.
        Self(unsafe { Registers::new(CONFIG_SPACE.start, CONFIG_SPACE.len) })
    }

    fn register(&self, at: DeviceId, register: u16, width: Width) -> Result<Register, ConfigError> {
        let bytes = check(register, width)?;
        if at.domain() != self.domain() {
            return Err(ConfigError::OtherHostBridge(at));
        }
        let function =
            u32::from(at.bus()) << 20 | u32::from(at.device()) << 15 | u32::from(at.function()) << 12;
        let none = ConfigError::Register { register, bytes: bytes.into() };
        self.0.register(function | u32::from(register), width).ok_or(none)
    }
}

impl ConfigSpace for Ecam {
    fn domain(&self) -> u16 {
        0
    }

    fn read(&self, at: DeviceId, register: u16, width: Width) -> Result<u32, ConfigError> {
        let register = self.register(at, register, width)?;
        let value = Virt.load(register).map_err(|_| ConfigError::Gone)?;
        u32::try_from(value).map_err(|_| ConfigError::Gone)
    }

    fn write(&self, at: DeviceId, register: u16, width: Width, value: u32) -> Result<(), ConfigError> {
        let register = self.register(at, register, width)?;
        Virt.store(register, value.into()).map_err(|_| ConfigError::Gone)
    }
}
