//! The device configuration: fields that belong together, read while the device may change them.

use super::Transport;
use crate::virtio::error::TransportError;
use crate::virtio::registers::Common;
use papr::parts::{low_u8, low_u16, low_u32};
use papr::platform::Width;
use papr::registers::Mmio;
use papr::registers::Registers;

/// Most attempts to read a device configuration that changes meanwhile.
const CONFIG_TRIES: u32 = 16;

impl<M: Mmio> Transport<M> {
    /// Whether the device configuration has changed since the last call, or since [`Self::config`] read it.
    ///
    /// # Errors
    /// The register cannot be read.
    pub fn config_changed(&mut self) -> Result<bool, TransportError> {
        let now = low_u8(self.load(Common::ConfigGeneration)?);
        let changed = now != self.generation;
        self.generation = now;
        Ok(changed)
    }

    /// Reads several fields of the device configuration that belong together.
    ///
    /// # Errors
    /// The configuration kept changing, or `read` failed.
    pub fn config<T>(
        &mut self,
        read: impl Fn(&DeviceConfig<'_, M>) -> Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        let region = self.regions.device.ok_or(TransportError::NoConfig(0))?;
        let mut before = self.load(Common::ConfigGeneration)?;
        for _ in 0..CONFIG_TRIES {
            let value = read(&DeviceConfig { mmio: &self.mmio, region })?;
            let after = self.load(Common::ConfigGeneration)?;
            if after == before {
                self.generation = low_u8(after);
                return Ok(value);
            }
            before = after;
        }
        Err(TransportError::ConfigUnstable)
    }
}

/// Reads fields of the device configuration.
#[derive(Debug)]
pub struct DeviceConfig<'a, M> {
    mmio: &'a M,
    region: Registers,
}

impl<M: Mmio> DeviceConfig<'_, M> {
    /// One byte.
    ///
    /// # Errors
    /// The configuration is too short for the field, or cannot be read.
    pub fn u8(&self, offset: u32) -> Result<u8, TransportError> {
        Ok(low_u8(self.load(offset, Width::W8)?))
    }

    /// Two bytes.
    ///
    /// # Errors
    /// As [`Self::u8`].
    pub fn u16(&self, offset: u32) -> Result<u16, TransportError> {
        Ok(low_u16(self.load(offset, Width::W16)?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// As [`Self::u8`].
    pub fn u32(&self, offset: u32) -> Result<u32, TransportError> {
        Ok(low_u32(self.load(offset, Width::W32)?))
    }

    /// Eight bytes, read in halves (4.1.3.1): only the generation makes them one.
    ///
    /// # Errors
    /// As [`Self::u8`].
    pub fn u64(&self, offset: u32) -> Result<u64, TransportError> {
        let low = self.u32(offset)?;
        let high = self.u32(offset.checked_add(4).ok_or(TransportError::NoConfig(offset))?)?;
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn load(&self, offset: u32, width: Width) -> Result<u64, TransportError> {
        let register = self.region.register(offset, width).ok_or(TransportError::NoConfig(offset))?;
        Ok(self.mmio.load(register)?)
    }
}
