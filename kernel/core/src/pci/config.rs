//! Config space: addresses, and reads and writes through the host bridge's RTAS services.

use crate::rtas::RtasError;
use crate::seam::{Rtas, Width};
use core::fmt;

/// Bytes of config space that this kernel uses. The extended part holds nothing it needs.
pub const CONFIG_BYTES: u16 = 256;

/// Bus, device and function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceAddr {
    bus: u8,
    device: u8,
    function: u8,
}

impl DeviceAddr {
    /// The address; `None` unless device < 32 and function < 8.
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device < 32 && function < 8 { Some(Self { bus, device, function }) } else { None }
    }

    /// The bus.
    #[must_use]
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// The device, 0..=31.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.device
    }

    /// The function, 0..=7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.function
    }

    /// The config_addr argument of RTAS calls (PAPR+ 7.3.5): bus, device and function in bits 23..8, the
    /// register in bits 7..0, its extension (bits 11..8 of the register) in bits 31..28.
    #[must_use]
    pub fn config_addr(self, register: u16) -> u32 {
        u32::from(register & 0xf00) << 20
            | u32::from(self.bus) << 16
            | u32::from(self.device) << 11
            | u32::from(self.function) << 8
            | u32::from(register & 0xff)
    }
}

impl fmt::Display for DeviceAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// A config access that did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A register that is not aligned to its width, outside of config space, or 8 bytes wide.
    Register {
        /// Offset in config space.
        register: u16,
        /// Bytes asked for.
        bytes: u64,
    },
    /// What RTAS answered.
    Rtas(RtasError),
    /// A header read as all ones: nothing is there (any more).
    Gone,
}

impl From<RtasError> for ConfigError {
    fn from(error: RtasError) -> Self {
        Self::Rtas(error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register { register, bytes } => write!(f, "no {bytes}-byte config register {register:#x}"),
            Self::Rtas(error) => error.fmt(f),
            Self::Gone => f.write_str("config space reads as all ones"),
        }
    }
}

/// Config space of all functions below one host bridge.
pub trait ConfigSpace {
    /// Reads a register of 1, 2 or 4 bytes; nothing above the width is set in the answer.
    ///
    /// # Errors
    /// A register that does not exist, or a failed call.
    fn read(&self, at: DeviceAddr, register: u16, width: Width) -> Result<u32, ConfigError>;

    /// Writes a register of 1, 2 or 4 bytes.
    ///
    /// # Errors
    /// A register that does not exist, or a failed call.
    fn write(&self, at: DeviceAddr, register: u16, width: Width, value: u32) -> Result<(), ConfigError>;
}

/// Config space behind `ibm,read-pci-config` and `ibm,write-pci-config`.
#[derive(Clone, Copy, Debug)]
pub struct RtasConfig<R> {
    rtas: R,
    buid: u64,
}

impl<R: Rtas> RtasConfig<R> {
    /// Config space of the host bridge whose BUID is `buid`.
    pub const fn new(rtas: R, buid: u64) -> Self {
        Self { rtas, buid }
    }

    fn args(&self, at: DeviceAddr, register: u16, bytes: u32) -> [u32; 4] {
        // The BUID goes in two words; truncation is how they are cut.
        let (high, low) = ((self.buid >> 32) as u32, self.buid as u32);
        [at.config_addr(register), high, low, bytes]
    }
}

impl<R: Rtas> ConfigSpace for RtasConfig<R> {
    fn read(&self, at: DeviceAddr, register: u16, width: Width) -> Result<u32, ConfigError> {
        let bytes = check(register, width)?;
        let mut value = [0];
        self.rtas.rtas("ibm,read-pci-config", &self.args(at, register, bytes), &mut value)?;
        let [value] = value;
        Ok(match width {
            Width::W8 => value & 0xff,
            Width::W16 => value & 0xffff,
            Width::W32 | Width::W64 => value,
        })
    }

    fn write(&self, at: DeviceAddr, register: u16, width: Width, value: u32) -> Result<(), ConfigError> {
        let bytes = check(register, width)?;
        let [addr, high, low, size] = self.args(at, register, bytes);
        Ok(self.rtas.rtas("ibm,write-pci-config", &[addr, high, low, size, value], &mut [])?)
    }
}

/// Whether there is such a register; its size in bytes.
pub(crate) fn check(register: u16, width: Width) -> Result<u32, ConfigError> {
    let refused = ConfigError::Register { register, bytes: width.bytes() };
    let bytes = match width {
        Width::W8 => 1,
        Width::W16 => 2,
        Width::W32 => 4,
        Width::W64 => return Err(refused),
    };
    let end = u32::from(register).wrapping_add(bytes);
    if end > u32::from(CONFIG_BYTES) || !u32::from(register).is_multiple_of(bytes) {
        return Err(refused);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::vec::Vec;

    type Call = (&'static str, Vec<u32>, usize);

    struct Recorder {
        calls: RefCell<Vec<Call>>,
        answer: Result<u32, RtasError>,
    }

    impl Rtas for &Recorder {
        fn rtas(&self, service: &'static str, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
            self.calls.borrow_mut().push((service, args.to_vec(), rets.len()));
            rets.fill(self.answer?);
            Ok(())
        }
    }

    fn recorder(answer: Result<u32, RtasError>) -> Recorder {
        Recorder { calls: RefCell::default(), answer }
    }

    #[test]
    fn addresses_are_bounded_and_encoded_as_rtas_wants() {
        assert_eq!(DeviceAddr::new(0, 32, 0), None);
        assert_eq!(DeviceAddr::new(0, 0, 8), None);
        let at = DeviceAddr::new(1, 2, 3).unwrap();
        assert_eq!(at.config_addr(0x10), 0x0001_1310);
        assert_eq!(at.config_addr(0x123), 0x1001_1323);
        assert_eq!(std::format!("{at}"), "01:02.3");
    }

    #[test]
    fn reads_and_writes_carry_the_buid_in_two_words() {
        let rtas = recorder(Ok(0x1234_5678));
        let config = RtasConfig::new(&rtas, 0x0800_0000_2000_0000);
        let at = DeviceAddr::new(0, 1, 0).unwrap();
        assert_eq!(config.read(at, 0, Width::W32), Ok(0x1234_5678));
        config.write(at, 4, Width::W16, 6).unwrap();
        let calls = rtas.calls.borrow();
        assert_eq!(calls[0], ("ibm,read-pci-config", [0x800, 0x0800_0000, 0x2000_0000, 4].to_vec(), 1));
        assert_eq!(calls[1], ("ibm,write-pci-config", [0x804, 0x0800_0000, 0x2000_0000, 2, 6].to_vec(), 0));
    }

    #[test]
    fn value_above_the_width_is_cut_off() {
        let rtas = recorder(Ok(0x1234_5678));
        let config = RtasConfig::new(&rtas, 0);
        let at = DeviceAddr::new(0, 1, 0).unwrap();
        assert_eq!(config.read(at, 0, Width::W8), Ok(0x78));
        assert_eq!(config.read(at, 0, Width::W16), Ok(0x5678));
    }

    #[test]
    fn impossible_registers_are_refused_without_a_call() {
        let rtas = recorder(Ok(0));
        let config = RtasConfig::new(&rtas, 0);
        let at = DeviceAddr::new(0, 1, 0).unwrap();
        for (register, width) in [(1, Width::W16), (2, Width::W32), (0x100, Width::W8), (0, Width::W64)] {
            let refused = ConfigError::Register { register, bytes: width.bytes() };
            assert_eq!(config.read(at, register, width), Err(refused));
            assert_eq!(config.write(at, register, width, 0), Err(refused));
        }
        assert!(rtas.calls.borrow().is_empty());
    }

    #[test]
    fn rtas_errors_come_through() {
        let rtas = recorder(Err(RtasError::Hardware));
        let at = DeviceAddr::new(0, 1, 0).unwrap();
        let read = RtasConfig::new(&rtas, 0).read(at, 0, Width::W32);
        assert_eq!(read, Err(ConfigError::Rtas(RtasError::Hardware)));
    }
}
