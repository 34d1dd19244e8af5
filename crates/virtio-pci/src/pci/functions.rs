//! One function, as its header describes it.

use crate::pci::config::ConfigSpace;
use core::fmt;
use papr::device_id::DeviceId;
use papr::parts::{low_u8, low_u16};
use papr::platform::Width;

const VENDOR: u16 = 0x00;
const REVISION: u16 = 0x08;
const HEADER_TYPE: u16 = 0x0e;
const SUBSYSTEM: u16 = 0x2c;
const MULTI_FUNCTION: u32 = 0x80;

/// What a header describes (PCI 3.0, 6.1: bits 6..0 of the header type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Type 0.
    Endpoint,
    /// Type 1: a bridge to another bus.
    Bridge,
    /// A type without meaning.
    Unknown(u8),
}

/// One function that answered, as its header describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its address.
    pub at: DeviceId,
    /// The bridge that it is behind; `None` on the host bridge's own bus.
    pub behind: Option<DeviceId>,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Subsystem ID; 0 if the header has none.
    pub subsystem: u16,
    /// Base class, subclass and programming interface, in bits 23..0.
    pub class: u32,
    /// Revision ID.
    pub revision: u8,
    /// Kind of header.
    pub header: Header,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:04x}:{:04x} class {:06x}", self.at, self.vendor, self.device, self.class)?;
        match self.header {
            Header::Endpoint => Ok(()),
            Header::Bridge => f.write_str(" bridge"),
            Header::Unknown(kind) => write!(f, " unknown header type {kind:#x}"),
        }
    }
}

/// Reads one header. Returns the function, and whether the device has several.
pub(super) fn probe(
    config: &impl ConfigSpace,
    at: DeviceId,
    behind: Option<DeviceId>,
) -> Option<(Function, bool)> {
    let id = config.read(at, VENDOR, Width::W32).ok()?;
    let (vendor, device) = (low_u16(id.into()), low_u16((id >> 16).into()));
    if vendor == 0xffff || vendor == 0 {
        return None;
    }
    let class = config.read(at, REVISION, Width::W32).ok()?;
    let header = config.read(at, HEADER_TYPE, Width::W8).ok()?;
    let kind = match header & !MULTI_FUNCTION {
        0 => Header::Endpoint,
        1 => Header::Bridge,
        other => Header::Unknown(low_u8(other.into())),
    };
    let subsystem = match kind {
        Header::Endpoint => low_u16((config.read(at, SUBSYSTEM, Width::W32).ok()? >> 16).into()),
        Header::Bridge | Header::Unknown(_) => 0,
    };
    let function = Function {
        at,
        behind,
        vendor,
        device,
        subsystem,
        class: class >> 8,
        revision: low_u8(class.into()),
        header: kind,
    };
    Some((function, header & MULTI_FUNCTION != 0))
}
