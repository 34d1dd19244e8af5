//! Finds every function behind a host bridge, and numbers the buses on the way.
//!
//! No bridge keeps firmware's bus numbers. All bridges of a bus lose their numbers before one of them gets a new one,
//! so that two buses never have the same number.

use crate::pci::bridge::{self, BridgeError, MAX_DEPTH};
use crate::pci::config::ConfigSpace;
use crate::pci::functions::{Function, Header, probe};
use alloc::vec::Vec;
use papr::device_id::DeviceId;

/// Most functions behind one host bridge.
pub const MAX_FUNCTIONS: usize = 256;

/// The functions behind a host bridge.
#[derive(Debug, Default)]
pub struct Scan {
    /// Every function that answered; functions behind a bridge come after the bridge.
    pub functions: Vec<Function>,
    /// Bridges that are unusable, with everything behind them.
    pub faults: Vec<(Function, BridgeError)>,
    /// Whether there may be more than [`MAX_FUNCTIONS`]; the scan ignores the rest.
    pub full: bool,
    /// The highest bus number given out.
    pub last_bus: u8,
}

impl Scan {
    /// The bridges between a function and the host bridge, the nearest one first.
    pub fn upstream(&self, at: DeviceId) -> impl Iterator<Item = DeviceId> {
        let behind = |at| self.functions.iter().find(|function| function.at == at)?.behind;
        core::iter::successors(behind(at), move |bridge| behind(*bridge)).take(MAX_DEPTH)
    }

    /// Where interrupt pin `pin` (1 is INTA) of the function leads to on the host bridge's own bus: each bridge rotates
    /// the pins by the device's number (PCI-to-PCI Bridge Architecture 1.2, 9.1).
    #[must_use]
    pub fn root_pin(&self, at: DeviceId, pin: u8) -> (DeviceId, u8) {
        let turned = |pin: u8, device: u8| (pin.wrapping_sub(1).wrapping_add(device) & 3).wrapping_add(1);
        self.upstream(at).fold((at, pin), |(below, pin), bridge| (bridge, turned(pin, below.device())))
    }
}

/// Scans each bus from number `first` on; bridges get the numbers above it, up to `last`. An error at an address means
/// that no function is there.
pub fn scan(config: &impl ConfigSpace, (first, last): (u8, u8)) -> Scan {
    let mut scanner = Scanner { config, next: first, last, found: Scan::default() };
    scanner.bus(first, None, 0);
    Scan { last_bus: scanner.next, ..scanner.found }
}

struct Scanner<'a, C> {
    config: &'a C,
    /// The highest bus number in use.
    next: u8,
    last: u8,
    found: Scan,
}

impl<C: ConfigSpace> Scanner<'_, C> {
    /// Scans one bus and all buses behind it. `depth` bounds the recursion: [`MAX_DEPTH`].
    fn bus(&mut self, bus: u8, behind: Option<DeviceId>, depth: usize) {
        let (mut bridges, mut open) = (Vec::new(), None);
        for device in 0..32 {
            for bridge in self.device(bus, device, behind) {
                match bridge::close(self.config, bridge.at) {
                    Ok(()) => bridges.push(bridge),
                    Err(error) => {
                        open = Some(bridge.at);
                        self.found.faults.push((bridge, error));
                    }
                }
            }
        }
        for bridge in bridges {
            // A bridge that keeps its numbers may answer for any other bridge of this bus.
            if let Some(open) = open {
                self.found.faults.push((bridge, BridgeError::HiddenBy(open)));
                continue;
            }
            let before = self.found.functions.len();
            if let Err(error) = self.behind(bridge.at, depth) {
                self.found.functions.truncate(before);
                self.found.faults.push((bridge, error));
                // The error was recorded, and the bridge's windows are closed.
                let _ = bridge::close(self.config, bridge.at);
            }
        }
    }

    /// Scans the functions of one device; returns those that are bridges.
    fn device(&mut self, bus: u8, device: u8, behind: Option<DeviceId>) -> Vec<Function> {
        let mut bridges = Vec::new();
        for function in 0..8 {
            if self.found.functions.len() >= MAX_FUNCTIONS {
                self.found.full = true;
                break;
            }
            let at = DeviceId::new(self.config.domain(), bus, device, function);
            match at.and_then(|at| probe(self.config, at, behind)) {
                Some((found, multi)) => {
                    self.found.functions.push(found);
                    if found.header == Header::Bridge {
                        bridges.push(found);
                    }
                    if function == 0 && !multi {
                        break;
                    }
                }
                None if function == 0 => break,
                None => {}
            }
        }
        bridges
    }

    fn behind(&mut self, bridge: DeviceId, depth: usize) -> Result<(), BridgeError> {
        if depth >= MAX_DEPTH {
            return Err(BridgeError::TooDeep);
        }
        let bus = self.next.checked_add(1).filter(|bus| *bus <= self.last).ok_or(BridgeError::NoBusNumber)?;
        self.next = bus;
        bridge::open(self.config, bridge, bus, self.last)?;
        self.bus(bus, Some(bridge), depth.saturating_add(1));
        bridge::open(self.config, bridge, bus, self.next)
    }
}
