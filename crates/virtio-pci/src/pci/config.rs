//! Config space: addresses, and reads and writes through the host bridge's RTAS services.

use papr::device_id::DeviceId;
use papr::parts::cells;
use papr::platform::{Rtas, Width};
use papr::rtas::{RtasError, Service};
use thiserror::Error;

/// Bytes of config space that this kernel uses. It does not need the extended part.
pub const CONFIG_BYTES: u16 = 256;

/// Why a config access failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A register that is not aligned to its width, outside of config space, or 8 bytes wide.
    #[error("no {bytes}-byte config register {register:#x}")]
    Register {
        /// Offset in config space.
        register: u16,
        /// Bytes asked for.
        bytes: u64,
    },
    /// The RTAS call failed.
    #[error(transparent)]
    Rtas(#[from] RtasError),
    /// A header reads as all ones: there is no function, or not any more.
    #[error("config space reads as all ones")]
    Gone,
    /// The device is behind another host bridge.
    #[error("{0} is behind another host bridge")]
    OtherHostBridge(DeviceId),
}

/// Config space of all functions below one host bridge.
pub trait ConfigSpace {
    /// The host bridge's number, which the ids of all its functions carry.
    fn domain(&self) -> u16;

    /// Reads a register of 1, 2 or 4 bytes; bits above the width are 0.
    ///
    /// # Errors
    /// No such register, or the call failed.
    fn read(&self, at: DeviceId, register: u16, width: Width) -> Result<u32, ConfigError>;

    /// Writes a register of 1, 2 or 4 bytes.
    ///
    /// # Errors
    /// No such register, or the call failed.
    fn write(&self, at: DeviceId, register: u16, width: Width, value: u32) -> Result<(), ConfigError>;
}

/// Config space behind `ibm,read-pci-config` and `ibm,write-pci-config`.
#[derive(Clone, Copy, Debug)]
pub struct RtasConfig<R> {
    rtas: R,
    domain: u16,
    buid: u64,
}

impl<R: Rtas> RtasConfig<R> {
    /// Config space of the host bridge with the number `domain`, and the BUID `buid` in RTAS calls.
    pub const fn new(rtas: R, domain: u16, buid: u64) -> Self {
        Self { rtas, domain, buid }
    }

    fn args(&self, at: DeviceId, register: u16, bytes: u32) -> Result<[u32; 4], ConfigError> {
        if at.domain() != self.domain {
            return Err(ConfigError::OtherHostBridge(at));
        }
        let [high, low] = cells(self.buid);
        Ok([at.config_addr(register), high, low, bytes])
    }
}

impl<R: Rtas> ConfigSpace for RtasConfig<R> {
    fn domain(&self) -> u16 {
        self.domain
    }

    fn read(&self, at: DeviceId, register: u16, width: Width) -> Result<u32, ConfigError> {
        let bytes = check(register, width)?;
        let mut value = [0];
        self.rtas.rtas(Service::ReadPciConfig, &self.args(at, register, bytes)?, &mut value)?;
        let [value] = value;
        Ok(match width {
            Width::W8 => value & 0xff,
            Width::W16 => value & 0xffff,
            Width::W32 | Width::W64 => value,
        })
    }

    fn write(&self, at: DeviceId, register: u16, width: Width, value: u32) -> Result<(), ConfigError> {
        let bytes = check(register, width)?;
        let [addr, high, low, size] = self.args(at, register, bytes)?;
        Ok(self.rtas.rtas(Service::WritePciConfig, &[addr, high, low, size, value], &mut [])?)
    }
}

/// Checks a register and returns its size in bytes. Every [`ConfigSpace`] calls this first.
///
/// # Errors
/// [`ConfigError::Register`].
pub fn check(register: u16, width: Width) -> Result<u32, ConfigError> {
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
        fn rtas(&self, service: Service, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
            self.calls.borrow_mut().push((service.name(), args.to_vec(), rets.len()));
            rets.fill(self.answer?);
            Ok(())
        }
    }

    fn recorder(answer: Result<u32, RtasError>) -> Recorder {
        Recorder { calls: RefCell::default(), answer }
    }

    #[test]
    fn reads_and_writes_carry_the_buid_in_two_words() {
        let rtas = recorder(Ok(0x1234_5678));
        let config = RtasConfig::new(&rtas, 0, 0x0800_0000_2000_0000);
        let at = DeviceId::new(0, 0, 1, 0).unwrap();
        assert_eq!(config.read(at, 0, Width::W32), Ok(0x1234_5678));
        config.write(at, 4, Width::W16, 6).unwrap();
        let calls = rtas.calls.borrow();
        assert_eq!(calls[0], ("ibm,read-pci-config", [0x800, 0x0800_0000, 0x2000_0000, 4].to_vec(), 1));
        assert_eq!(calls[1], ("ibm,write-pci-config", [0x804, 0x0800_0000, 0x2000_0000, 2, 6].to_vec(), 0));
    }

    #[test]
    fn value_above_the_width_is_cut_off() {
        let rtas = recorder(Ok(0x1234_5678));
        let config = RtasConfig::new(&rtas, 0, 0);
        let at = DeviceId::new(0, 0, 1, 0).unwrap();
        assert_eq!(config.read(at, 0, Width::W8), Ok(0x78));
        assert_eq!(config.read(at, 0, Width::W16), Ok(0x5678));
    }

    #[test]
    fn impossible_registers_are_refused_without_a_call() {
        let rtas = recorder(Ok(0));
        let config = RtasConfig::new(&rtas, 0, 0);
        let at = DeviceId::new(0, 0, 1, 0).unwrap();
        for (register, width) in [(1, Width::W16), (2, Width::W32), (0x100, Width::W8), (0, Width::W64)] {
            let refused = ConfigError::Register { register, bytes: width.bytes() };
            assert_eq!(config.read(at, register, width), Err(refused));
            assert_eq!(config.write(at, register, width, 0), Err(refused));
        }
        assert!(rtas.calls.borrow().is_empty());
    }

    #[test]
    fn device_behind_another_host_bridge_is_not_reached_through_this_one() {
        let rtas = recorder(Ok(0));
        let config = RtasConfig::new(&rtas, 1, 0);
        let other = DeviceId::new(0, 0, 1, 0).unwrap();
        assert_eq!(config.read(other, 0, Width::W32), Err(ConfigError::OtherHostBridge(other)));
        assert_eq!(config.write(other, 4, Width::W16, 4), Err(ConfigError::OtherHostBridge(other)));
        assert!(rtas.calls.borrow().is_empty());
    }

    #[test]
    fn rtas_errors_come_through() {
        let rtas = recorder(Err(RtasError::Hardware));
        let at = DeviceId::new(0, 0, 1, 0).unwrap();
        let read = RtasConfig::new(&rtas, 0, 0).read(at, 0, Width::W32);
        assert_eq!(read, Err(ConfigError::Rtas(RtasError::Hardware)));
    }
}
