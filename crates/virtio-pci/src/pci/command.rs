//! The command register: what a function may do on the bus, and when.
//!
//! Firmware may have left bus mastering enabled. The kernel disables it for every function before anything else, and
//! enables it for one function at a time when its DMA addresses are in place.

use crate::pci::config::{ConfigError, ConfigSpace};
use bitflags::bitflags;
use papr::device_id::DeviceId;
use papr::parts::low_u16;
use papr::platform::Width;
use thiserror::Error;

/// Offset of the command register in config space (PCI 3.0, 6.1).
pub const COMMAND: u16 = 0x04;

bitflags! {
    /// Bits of the command register (PCI 3.0, 6.2.2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u16 {
        /// Answers I/O accesses.
        const IO = 1 << 0;
        /// Answers memory accesses.
        const MEMORY = 1 << 1;
        /// May access memory by itself.
        const BUS_MASTER = 1 << 2;
        /// Does not raise INTx.
        const INTX_DISABLE = 1 << 10;
        const _ = !0;
    }
}

/// A command register that could not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The access failed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The register did not read back as written.
    #[error("command register {:#06x} reads back {:#06x}", .wanted.bits(), .found.bits())]
    NotTaken {
        /// Value that was written.
        wanted: Command,
        /// Value that was read back.
        found: Command,
    },
}

/// Disables bus mastering, both decoders and INTx.
///
/// # Errors
/// The function still decodes or masters the bus: do not use it.
pub fn quiesce(config: &impl ConfigSpace, at: DeviceId) -> Result<(), CommandError> {
    change(config, at, Command::INTX_DISABLE, Command::BUS_MASTER | Command::MEMORY | Command::IO)
}

/// Enables the function's decoders: it answers at its BARs.
///
/// # Errors
/// The register does not read back as written.
pub fn enable_decoding(
    config: &impl ConfigSpace,
    at: DeviceId,
    decoders: Command,
) -> Result<(), CommandError> {
    change(config, at, decoders & (Command::MEMORY | Command::IO), Command::empty())
}

/// Enables bus mastering: only after every DMA address of the function is in place.
///
/// # Errors
/// The register does not read back as written.
pub fn enable_bus_master(config: &impl ConfigSpace, at: DeviceId) -> Result<(), CommandError> {
    change(config, at, Command::BUS_MASTER, Command::empty())
}

/// Enables the function's interrupt pin.
///
/// # Errors
/// The register cannot be written.
pub fn enable_pin(config: &impl ConfigSpace, at: DeviceId) -> Result<(), CommandError> {
    change(config, at, Command::empty(), Command::INTX_DISABLE)
}

/// Disables bus mastering.
///
/// # Errors
/// The register kept the bit.
pub fn disable_bus_master(config: &impl ConfigSpace, at: DeviceId) -> Result<(), CommandError> {
    change(config, at, Command::empty(), Command::BUS_MASTER)
}

fn change(config: &impl ConfigSpace, at: DeviceId, set: Command, clear: Command) -> Result<(), CommandError> {
    let read =
        || config.read(at, COMMAND, Width::W16).map(|bits| Command::from_bits_retain(low_u16(bits.into())));
    let before = read()?;
    let wanted = before.difference(clear) | set;
    config.write(at, COMMAND, Width::W16, wanted.bits().into())?;
    let found = read()?;
    // INTx disable is an optional bit; the bits that control accesses are not.
    let matters = (set | clear).difference(Command::INTX_DISABLE);
    if (found ^ wanted).intersects(matters) {
        return Err(CommandError::NotTaken { wanted, found });
    }
    Ok(())
}
