//! What is kept of a host bridge after bring-up, and the devices that appear behind it later.

use crate::platform::pseries::Pseries;
use core::time::Duration;
use papr::clock::{Clock, ticks};
use svm_dma::tce::PhbWindow;
use virtio_pci::pci::config::RtasConfig;
use virtio_pci::pci::slots::Slots;

/// How often the empty slots are polled for new devices while the network is served.
const SLOT_POLL: Duration = Duration::from_secs(1);

/// The parts of a host bridge that are kept after bring-up.
#[derive(Debug)]
pub struct HostBridge {
    /// Config space of the functions behind it.
    pub config: RtasConfig<Pseries>,
    /// The DMA window that was set up, if a device translates its addresses.
    pub window: Option<PhbWindow>,
    /// The slots of its buses, and which of them were taken.
    pub slots: Slots,
}

/// Logs the devices that appeared behind these bridges since the last poll; returns how many there are.
pub fn name_new(bridges: &mut [HostBridge]) -> u64 {
    let mut count = 0_u64;
    for HostBridge { slots, config, .. } in bridges {
        for function in slots.appeared(config) {
            log::warn!("pci {function}: appeared after boot, not used until the machine is reset");
            count = count.saturating_add(1);
        }
    }
    count
}

/// A poll for new devices every [`SLOT_POLL`].
#[derive(Debug, Default)]
pub struct Watch {
    due: u64,
}

impl Watch {
    /// [`name_new`] if it is time for it.
    pub fn poll(&mut self, bridges: &mut [HostBridge]) -> u64 {
        let now = Pseries.now();
        if now < self.due {
            return 0;
        }
        self.due = now.saturating_add(ticks(&Pseries, SLOT_POLL));
        name_new(bridges)
    }
}
