//! A PCI host bridge: its functions silenced, its DMA window set up, its devices given addresses.

use crate::devices::host_bridge::HostBridge;
use crate::devices::{DeviceError, bus_masters};
use crate::platform::pseries::Pseries;
use crate::report::Report;
use alloc::vec::Vec;
use papr::addr::GpaRange;
use papr::clock::{Clock, duration};
use papr::device_id::DeviceId;
use pseries_tree::early::Entry;
use svm_dma::dma::{Dma, DmaSystem};
use svm_dma::memory_map::MemoryMap;
use svm_dma::tce::{Ddw, DmaWindow, PhbWindow, Reach};
use virtio_pci::interrupts::MsiServices;
use virtio_pci::pci::bars::Bars;
use virtio_pci::pci::command::{self, Command};
use virtio_pci::pci::config::RtasConfig;
use virtio_pci::pci::functions::{Function, Header};
use virtio_pci::pci::placement::{Places, place};
use virtio_pci::pci::scan::{MAX_FUNCTIONS, Scan, scan};
use virtio_pci::pci::slots::Slots;
use virtio_pci::pci::windows::Windows;
use virtio_pci::virtio::features::{DeviceType, is_iommu};

/// A host bridge whose functions are silenced and have their addresses.
#[derive(Debug)]
pub struct Bridge {
    description: pseries_tree::Bridge,
    config: RtasConfig<Pseries>,
    found: Scan,
    slots: Slots,
    places: Places,
    /// Number of functions with a driver that could not be silenced, and of bridges whose devices are not used.
    left_alone: u64,
    window: Option<PhbWindow>,
}

fn dynamic(description: &pseries_tree::Bridge) -> Ddw<'static> {
    Ddw { rtas: &Pseries, buid: description.buid, config_address: 0 }
}

impl Bridge {
    /// Finds the functions behind the host bridge, disables bus mastering of each, clears firmware's entries from the
    /// DMA window, and assigns addresses to the functions that have a driver. Windows that a kernel before this one
    /// made are removed first, if the bridge can.
    ///
    /// # Errors
    /// The bridge's windows cannot be used.
    pub fn find(
        description: &pseries_tree::Bridge,
        entry: Entry,
        map: &MemoryMap,
    ) -> Result<Self, DeviceError> {
        let config = RtasConfig::new(Pseries, description.domain, description.buid);
        let mut windows = Windows::new(&description.windows, map)?;
        let mut found = scan(&config, description.buses);
        let slots = Slots::of(&found, description.buses.0);
        let mut left_alone = report_faults(description, &found);
        found.functions.retain(|function| {
            // Bridges were silenced when they were found.
            if function.header == Header::Bridge {
                return true;
            }
            let quiet = command::quiesce(&config, function.at);
            if let Err(error) = &quiet {
                log::warn!("pci {function}: left alone, cannot be silenced: {error}");
                left_alone = left_alone.saturating_add(DeviceType::of(function).is_some().into());
            }
            quiet.is_ok()
        });
        if entry == Entry::Fdt
            && description.ddw.is_some()
            && let Err(error) = dynamic(description).reset()
        {
            log::warn!(
                "host bridge {:04x}: DMA windows of a kernel before may be left: {error}",
                description.domain
            );
        }
        DmaWindow::from(description.dma).clear(&Pseries)?;
        let wanted = |function: &Function| DeviceType::of(function).is_some() || is_serial(function);
        let places = place(&config, &found.functions, &wanted, &mut windows);
        Ok(Self { description: description.clone(), config, found, slots, places, left_alone, window: None })
    }

    /// DMA for a function that was reset; `translated` says whether it uses I/O virtual addresses. Sets the bridge's
    /// window up for the first such function, and enables bus mastering last.
    ///
    /// # Errors
    /// The window cannot be used, or a command register does not keep what was written.
    pub fn dma(
        &mut self,
        function: &Function,
        translated: bool,
        ram: &[GpaRange],
        system: &DmaSystem<Pseries>,
        report: &mut Report,
    ) -> Result<Dma<Pseries>, DeviceError> {
        // The tables that would be set up here are not looked at, and each request would time out.
        if translated && let Some(iommu) = self.found.functions.iter().find(|function| is_iommu(function)) {
            return Err(DeviceError::BehindIommu(iommu.at));
        }
        if translated && self.window.is_none() {
            let start = Pseries.now();
            let window = self.open_window(ram, system)?;
            let took = duration(&Pseries, Pseries.now().wrapping_sub(start));
            report.window(&self.description, &window.report(), took);
            self.window = Some(window);
        }
        let dma = system.device(function.at, translated, self.window.as_ref())?;
        // From the host bridge down, so that the device is the last.
        let mut path: Vec<DeviceId> =
            core::iter::once(function.at).chain(self.found.upstream(function.at)).collect();
        path.reverse();
        for at in path {
            bus_masters::enable(&self.config, at)?;
        }
        Ok(dma)
    }

    fn open_window(&self, ram: &[GpaRange], system: &DmaSystem<Pseries>) -> Result<PhbWindow, DeviceError> {
        let ddw = dynamic(&self.description);
        let window = system.bridge(
            self.description.dma.into(),
            self.description.ddw.is_some().then_some(&ddw),
            ram,
        )?;
        #[cfg(sabotage_map_private)]
        {
            let image = crate::memory::layout::image().start;
            let ioba = window.map_for_sabotage(&Pseries, image)?;
            log::warn!("sabotage: the image's first page is mapped for devices at {ioba:#x}");
        }
        Ok(window)
    }

    /// What devices can reach through the bridge's windows.
    pub fn reach(&self) -> Reach {
        self.window.as_ref().map_or(Reach::of(self.description.dma.into()), PhbWindow::reach)
    }

    /// What is left of the bridge when its devices are brought up.
    pub fn into_parts(self) -> HostBridge {
        HostBridge { config: self.config, window: self.window, slots: self.slots }
    }

    /// The parts that are kept after bring-up.
    pub fn into_kept(self) -> HostBridge {
        HostBridge { config: self.config, window: self.window, slots: self.slots }
    }

    /// The functions that could be silenced.
    pub fn functions(&self) -> &[Function] {
        &self.found.functions
    }

    /// Number of functions with a driver that could not be silenced, and of bridges whose devices are not used.
    pub fn left_alone(&self) -> u64 {
        self.left_alone
    }

    /// Config space behind the bridge.
    pub fn config(&self) -> &RtasConfig<Pseries> {
        &self.config
    }

    /// Message interrupts behind the bridge.
    pub fn message_services(&self) -> MsiServices<Pseries> {
        MsiServices::new(Pseries, self.description.buid)
    }

    /// The level source that `pin` (1 is INTA) of the function leads to.
    pub fn level_source(&self, at: DeviceId, pin: u8) -> Option<u32> {
        let (root, pin) = self.found.root_pin(at, pin);
        self.description.interrupts.source(root.device(), root.function(), pin)
    }

    /// The function's BARs, as they were placed. Enables their decoding.
    ///
    /// # Errors
    /// They could not be placed, or a command register does not keep what was written.
    pub fn place(&self, at: DeviceId) -> Result<Bars, DeviceError> {
        let bars = (*self.places.get(&at).ok_or(DeviceError::NotPlaced)?)?;
        let io = if bars.first_io().is_some() { Command::IO } else { Command::empty() };
        command::enable_decoding(&self.config, at, Command::MEMORY | io)?;
        Ok(bars)
    }
}

/// Logs each bridge whose devices are not used, and whether there were too many functions. Returns the number of these
/// faults.
fn report_faults(description: &pseries_tree::Bridge, found: &Scan) -> u64 {
    for (bridge, error) in &found.faults {
        log::error!("pci {bridge}: nothing behind it is used: {error}");
    }
    if found.full {
        log::error!(
            "host bridge {:04x}: more than {MAX_FUNCTIONS} functions, the others are not looked at",
            description.domain
        );
    }
    (found.faults.len() as u64).saturating_add(found.full.into())
}

/// Whether the class code says 16550: class 7 (communication), subclass 0 (serial), interface 2 (PCI ID codes 1.11).
pub fn is_serial(function: &Function) -> bool {
    function.header == Header::Endpoint && function.class == 0x07_00_02
}
