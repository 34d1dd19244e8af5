//! Which functions there are on bus 0.

use crate::pci::config::ConfigSpace;
use crate::pci::device_id::DeviceId;
use crate::seam::Width;
use alloc::vec::Vec;
use core::fmt;

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
    /// Type 1; what is behind it is not looked for.
    Bridge,
    /// A type without meaning.
    Unknown(u8),
}

/// One function that answered, as its header describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where.
    pub at: DeviceId,
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Subsystem device; 0 where the header has none.
    pub subsystem: u16,
    /// Base class, subclass and programming interface, in bits 23..0.
    pub class: u32,
    /// Revision.
    pub revision: u8,
    /// Kind of header.
    pub header: Header,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:04x}:{:04x} class {:06x}", self.at, self.vendor, self.device, self.class)?;
        match self.header {
            Header::Endpoint => Ok(()),
            Header::Bridge => f.write_str(" bridge, not looked behind"),
            Header::Unknown(kind) => write!(f, " unknown header type {kind:#x}"),
        }
    }
}

/// Looks at each of the 32 devices of bus 0, and at the other functions of those that claim to have some.
/// At most 256 functions come out, whatever is claimed. An error at one address means nothing is there.
pub fn scan(config: &impl ConfigSpace) -> Vec<Function> {
    let mut found = Vec::new();
    for device in 0..32 {
        for function in 0..8 {
            let Some((function, multi)) =
                DeviceId::new(config.domain(), 0, device, function).and_then(|at| probe(config, at))
            else {
                if function == 0 {
                    break;
                }
                continue;
            };
            let first = function.at.function() == 0;
            found.push(function);
            if first && !multi {
                break;
            }
        }
    }
    found
}

/// Reads one header; the function and whether it says that there are more.
fn probe(config: &impl ConfigSpace, at: DeviceId) -> Option<(Function, bool)> {
    let id = config.read(at, VENDOR, Width::W32).ok()?;
    let (vendor, device) = (id as u16, (id >> 16) as u16);
    if vendor == 0xffff || vendor == 0 {
        return None;
    }
    let class = config.read(at, REVISION, Width::W32).ok()?;
    let header = config.read(at, HEADER_TYPE, Width::W8).ok()?;
    let kind = match header & !MULTI_FUNCTION {
        0 => Header::Endpoint,
        1 => Header::Bridge,
        other => Header::Unknown(other as u8),
    };
    let subsystem = match kind {
        Header::Endpoint => (config.read(at, SUBSYSTEM, Width::W32).ok()? >> 16) as u16,
        Header::Bridge | Header::Unknown(_) => 0,
    };
    let function =
        Function { at, vendor, device, subsystem, class: class >> 8, revision: class as u8, header: kind };
    Some((function, header & MULTI_FUNCTION != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::model::Model;
    use postern_cases::case;

    fn addresses(model: &Model) -> Vec<(u8, u8)> {
        scan(model).iter().map(|f| (f.at.device(), f.at.function())).collect()
    }

    #[test]
    fn empty_bus_has_no_functions() {
        assert!(scan(&Model::default()).is_empty());
    }

    #[test]
    fn header_fields_are_read() {
        let model = Model::default();
        let at = model.add(3, 0, 0x1af4, 0x1042);
        model.set(at, REVISION, 0x0100_0001);
        model.set(at, SUBSYSTEM, 0x1100_1af4);
        let expected = Function {
            at,
            vendor: 0x1af4,
            device: 0x1042,
            subsystem: 0x1100,
            class: 0x01_0000,
            revision: 1,
            header: Header::Endpoint,
        };
        assert_eq!(scan(&model), [expected]);
    }

    #[test]
    fn other_functions_count_only_where_function_0_says_so() {
        let model = Model::default();
        model.add(1, 0, 1, 1);
        model.add(1, 3, 1, 1);
        assert_eq!(addresses(&model), [(1, 0)]);
        model.set8(DeviceId::new(0, 0, 1, 0).unwrap(), HEADER_TYPE, 0x80);
        assert_eq!(addresses(&model), [(1, 0), (1, 3)]);
    }

    #[test]
    fn function_without_function_0_is_not_found() {
        let model = Model::default();
        model.add(2, 1, 1, 1);
        assert!(scan(&model).is_empty());
    }

    #[test]
    fn bus_that_claims_every_function_ends_at_256() {
        case!("CAP-13", Work);
        let model = Model::default();
        for device in 0..32 {
            for function in 0..8 {
                let at = model.add(device, function, 1, 1);
                model.set8(at, HEADER_TYPE, 0x80);
            }
        }
        assert_eq!(scan(&model).len(), 256);
    }

    #[test]
    fn bridges_and_unknown_headers_are_named_not_followed() {
        case!("CAP-13", Ignore);
        let model = Model::default();
        let bridge = model.add(1, 0, 0x1b36, 1);
        let odd = model.add(2, 0, 0x1b36, 2);
        model.set8(bridge, HEADER_TYPE, 1);
        model.set8(odd, HEADER_TYPE, 0x7f);
        let found = scan(&model);
        assert_eq!(found[0].header, Header::Bridge);
        assert_eq!(found[1].header, Header::Unknown(0x7f));
        assert!(std::format!("{}", found[0]).ends_with("bridge, not looked behind"));
    }
}
