//! Finds a device's registers: its virtio capabilities, checked against its BARs.
//!
//! Source: virtio 1.2, 4.1.4. The first usable capability of each type counts. One in I/O space is skipped, and refuses
//! the device only if no other follows. A malformed one refuses the device at once.

use crate::pci::bars::Bars;
use crate::pci::capabilities::{Capability, ListError, list};
use crate::pci::config::{CONFIG_BYTES, ConfigError, ConfigSpace};
use alloc::vec::Vec;
use core::fmt;
use papr::device_id::DeviceId;
use papr::platform::Width;
use papr::registers::Registers;
use thiserror::Error;

/// Capability ID "vendor specific".
const VENDOR_SPECIFIC: u8 = 0x09;
/// Bytes of struct virtio_pci_cap.
const CAP_BYTES: u8 = 16;
/// Bytes of struct virtio_pci_notify_cap.
const NOTIFY_CAP_BYTES: u8 = 20;

/// The structures that a driver needs (cfg_type of the capability).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// Common configuration.
    Common,
    /// Notifications.
    Notify,
    /// ISR status.
    Isr,
    /// Device-specific configuration.
    Device,
}

impl Structure {
    /// `None` for a type that is ignored: PCI_CFG (5), SHARED_MEMORY (8), VENDOR (9) and the unknown.
    fn of(cfg_type: u8) -> Option<Self> {
        match cfg_type {
            1 => Some(Self::Common),
            2 => Some(Self::Notify),
            3 => Some(Self::Isr),
            4 => Some(Self::Device),
            _ => None,
        }
    }

    /// Least length, and alignment of the offset.
    const fn shape(self) -> (u32, u32) {
        match self {
            Self::Common => (56, 4),
            Self::Notify => (2, 2),
            Self::Isr => (1, 1),
            Self::Device => (4, 4),
        }
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "common configuration",
            Self::Notify => "notification structure",
            Self::Isr => "ISR status",
            Self::Device => "device configuration",
        })
    }
}

/// Why a device's virtio capabilities are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RegionError {
    /// The capability list is unusable.
    #[error("{0}")]
    List(ListError),
    /// A read failed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no such BAR.
    #[error("{structure} in BAR {bar}, which does not exist")]
    NoBar {
        /// The structure.
        structure: Structure,
        /// As read.
        bar: u8,
    },
    /// The structure is in I/O space, which this kernel does not use.
    #[error("{structure} in I/O BAR {bar}")]
    IoBar {
        /// The structure.
        structure: Structure,
        /// As read.
        bar: u8,
    },
    /// The structure is not wholly inside its BAR.
    #[error("{structure} at {offset:#x}+{len:#x} is outside its BAR")]
    Outside {
        /// The structure.
        structure: Structure,
        /// As read.
        offset: u32,
        /// As read.
        len: u32,
    },
    /// The region is too short for the structure.
    #[error("{structure} of {len} bytes")]
    Short {
        /// The structure.
        structure: Structure,
        /// As read.
        len: u32,
    },
    /// The structure is misaligned.
    #[error("{structure} misaligned at {offset:#x}")]
    Misaligned {
        /// The structure.
        structure: Structure,
        /// As read.
        offset: u32,
    },
    /// Two structures claim the same bytes.
    #[error("{0} overlaps {1}")]
    Overlap(Structure, Structure),
    /// A notify_off_multiplier that is odd, or no power of two.
    #[error("notify_off_multiplier {0}")]
    Multiplier(u32),
    /// A structure that every modern device has is not there: the device has only the legacy interface.
    #[error("legacy interface only: no {0}")]
    LegacyOnly(Structure),
}

/// All registers of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regions {
    /// Common configuration, at least 56 bytes.
    pub common: Registers,
    /// Notification registers.
    pub notify: Registers,
    /// Distance of two queues' notification registers; 0 when they share one.
    pub notify_multiplier: u32,
    /// ISR status.
    pub isr: Option<Registers>,
    /// Device-specific configuration.
    pub device: Option<Registers>,
}

impl Regions {
    /// Finds and validates the virtio capabilities of the function at `at`, whose BARs have been placed.
    ///
    /// # Errors
    /// The first fault: do not use the device.
    pub fn find(config: &impl ConfigSpace, at: DeviceId, bars: &Bars) -> Result<Self, RegionError> {
        let mut found = Found::default();
        let mut passed_over = Vec::new();
        for capability in list(config, at).map_err(RegionError::List)? {
            match found.consider(config, at, bars, &capability) {
                Err(io @ RegionError::IoBar { .. }) => passed_over.push(io),
                result => result?,
            }
        }
        let missing = |wanted| {
            let is_it = |io: &&RegionError| matches!(io, RegionError::IoBar { structure, .. } if *structure == wanted);
            passed_over.iter().find(is_it).copied().unwrap_or(RegionError::LegacyOnly(wanted))
        };
        Ok(Self {
            common: found.common.ok_or_else(|| missing(Structure::Common))?,
            notify: found.notify.ok_or_else(|| missing(Structure::Notify))?,
            notify_multiplier: found.multiplier,
            isr: found.isr,
            device: found.device,
        })
    }
}

#[derive(Default)]
struct Found {
    common: Option<Registers>,
    notify: Option<Registers>,
    multiplier: u32,
    isr: Option<Registers>,
    device: Option<Registers>,
}

impl Found {
    fn consider(
        &mut self,
        config: &impl ConfigSpace,
        at: DeviceId,
        bars: &Bars,
        capability: &Capability,
    ) -> Result<(), RegionError> {
        let [cap_len, cfg_type] = capability.rest;
        let Some(structure) = Structure::of(cfg_type) else { return Ok(()) };
        let notify = structure == Structure::Notify;
        let needed = if notify { NOTIFY_CAP_BYTES } else { CAP_BYTES };
        let inside = u16::from(capability.offset).saturating_add(cap_len.into()) <= CONFIG_BYTES;
        if capability.id != VENDOR_SPECIFIC || cap_len < needed || !inside {
            return Ok(());
        }
        // The capability is inside config space, as checked above: no addition wraps.
        let word = |n: u16| config.read(at, n.saturating_add(capability.offset.into()), Width::W32);
        let [bar, ..] = word(4)?.to_le_bytes();
        let (offset, len) = (word(8)?, word(12)?);
        let region = judge(structure, bars, bar, offset, len)?;

        for (other, taken) in [
            (Structure::Common, self.common),
            (Structure::Notify, self.notify),
            (Structure::Isr, self.isr),
            (Structure::Device, self.device),
        ] {
            if taken.is_some_and(|taken| taken.overlaps(&region)) {
                return Err(RegionError::Overlap(other, structure));
            }
        }
        let place = match structure {
            Structure::Common => &mut self.common,
            Structure::Notify => &mut self.notify,
            Structure::Isr => &mut self.isr,
            Structure::Device => &mut self.device,
        };
        if place.is_some() {
            return Ok(());
        }
        *place = Some(region);
        if notify {
            let multiplier = word(16)?;
            if multiplier != 0 && (multiplier == 1 || !multiplier.is_power_of_two()) {
                return Err(RegionError::Multiplier(multiplier));
            }
            self.multiplier = multiplier;
        }
        Ok(())
    }
}

fn judge(
    structure: Structure,
    bars: &Bars,
    bar: u8,
    offset: u32,
    len: u32,
) -> Result<Registers, RegionError> {
    let (least, align) = structure.shape();
    let place = bars.get(bar).ok_or(RegionError::NoBar { structure, bar })?;
    if place.io {
        return Err(RegionError::IoBar { structure, bar });
    }
    if len < least {
        return Err(RegionError::Short { structure, len });
    }
    if !offset.is_multiple_of(align) {
        return Err(RegionError::Misaligned { structure, offset });
    }
    let outside = RegionError::Outside { structure, offset, len };
    place.registers.and_then(|bar| bar.part(offset.into(), len.into())).ok_or(outside)
}
