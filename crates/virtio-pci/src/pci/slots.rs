//! Devices that appear after the scan. QEMU's `device_add` puts a function on the bus at once, whether or not the guest
//! listens to hot-plug events, so that config reads show it and nothing else of the host's has to be read.

use crate::pci::config::ConfigSpace;
use crate::pci::functions::{Function, probe};
use crate::pci::scan::Scan;
use alloc::vec::Vec;
use papr::device_id::DeviceId;

/// Devices on a bus.
const DEVICES: u8 = 32;

/// The places for devices on the buses of a host bridge, and which of them are known to be taken.
#[derive(Debug)]
pub struct Slots {
    buses: (u8, u8),
    taken: Vec<DeviceId>,
}

impl Slots {
    /// The slots of the buses that a scan numbered; none when it did not look at every function.
    #[must_use]
    pub fn of(scan: &Scan, first: u8) -> Self {
        let taken = scan.functions.iter().chain(scan.faults.iter().map(|(bridge, _)| bridge));
        let taken = taken.map(|function| function.at).filter(|at| at.function() == 0).collect();
        let last = if scan.full { None } else { Some(scan.last_bus) };
        Self { buses: last.map_or((1, 0), |last| (first, last)), taken }
    }

    /// The devices, by their function 0, that are there now and were not when this was last asked. Only reads; a device
    /// comes back once, so that all answers together are no more than there are slots.
    pub fn appeared(&mut self, config: &impl ConfigSpace) -> Vec<Function> {
        let mut appeared = Vec::new();
        let (first, last) = self.buses;
        for (bus, device) in (first..=last).flat_map(|bus| (0..DEVICES).map(move |device| (bus, device))) {
            let Some(at) = DeviceId::new(config.domain(), bus, device, 0) else { continue };
            if self.taken.contains(&at) {
                continue;
            }
            if let Some((function, _)) = probe(config, at, None) {
                self.taken.push(at);
                appeared.push(function);
            }
        }
        appeared
    }
}
