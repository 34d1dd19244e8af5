//! A PCI host bridge: its functions silenced, its DMA window set up, its devices given addresses.

use crate::devices::{DeviceError, masters};
use crate::platform::pseries::Pseries;
use crate::report::Report;
use alloc::vec::Vec;
use postern_core::addr::GpaRange;
use postern_core::clock::{Clock, duration};
use postern_core::dma::{Dma, DmaSystem};
use postern_core::fdt;
use postern_core::interrupts::MsiServices;
use postern_core::pci::bars::{self, Bars};
use postern_core::pci::command::{self, Command};
use postern_core::pci::config::RtasConfig;
use postern_core::pci::device_id::DeviceId;
use postern_core::pci::functions::{Function, scan};
use postern_core::pci::windows::Windows;
use postern_core::tce::{Ddw, PhbWindow, Reach};
use postern_core::virtio::features::DeviceType;

/// A bridge whose functions are silenced.
#[derive(Debug)]
pub struct Bridge {
    description: fdt::Bridge,
    config: RtasConfig<Pseries>,
    windows: Windows,
    functions: Vec<Function>,
    /// Functions with a driver that could not be silenced.
    left_alone: u64,
    window: Option<PhbWindow>,
}

impl Bridge {
    /// Finds the functions behind the bridge, stops each from accessing memory, and clears the window of what
    /// firmware left in it.
    ///
    /// # Errors
    /// The bridge's windows cannot be used.
    pub fn find(description: &fdt::Bridge, ram: &[GpaRange]) -> Result<Self, DeviceError> {
        let config = RtasConfig::new(Pseries, description.domain, description.buid);
        let windows = Windows::new(&description.windows, ram)?;
        let mut functions = scan(&config);
        let mut left_alone = 0;
        functions.retain(|function| match command::quiesce(&config, function.at) {
            Ok(()) => true,
            Err(error) => {
                log::warn!("pci {function}: left alone, cannot be silenced: {error}");
                left_alone += u64::from(DeviceType::of(function).is_some());
                false
            }
        });
        description.dma.clear(&Pseries)?;
        Ok(Self { description: description.clone(), config, windows, functions, left_alone, window: None })
    }

    /// DMA for a function that is reset and will translate its addresses or not, and last the right to use
    /// it. The bridge's window is set up for the first function that translates, before it masters the bus.
    ///
    /// # Errors
    /// The window cannot be used, or a command register that does not take.
    pub fn dma(
        &mut self,
        function: &Function,
        translated: bool,
        ram: &[GpaRange],
        system: &DmaSystem<Pseries>,
        report: &mut Report,
    ) -> Result<Dma<Pseries>, DeviceError> {
        if translated && self.window.is_none() {
            let start = Pseries.now();
            let window = self.open_window(ram, system)?;
            let took = duration(&Pseries, Pseries.now().wrapping_sub(start));
            report.window(&self.description, &window.report(), took);
            self.window = Some(window);
        }
        let dma = system.device(function.at, translated, self.window.as_ref())?;
        masters::enable(&self.config, function.at)?;
        Ok(dma)
    }

    fn open_window(&self, ram: &[GpaRange], system: &DmaSystem<Pseries>) -> Result<PhbWindow, DeviceError> {
        let ddw = Ddw { rtas: &Pseries, buid: self.description.buid, config_address: 0 };
        let window =
            system.bridge(self.description.dma, self.description.ddw.is_some().then_some(&ddw), ram)?;
        #[cfg(feature = "sabotage-map-private")]
        {
            let image = crate::memory::layout::image().start;
            let ioba = window.map_for_sabotage(&Pseries, image)?;
            log::warn!("sabotage: the image's first page is mapped for devices at {ioba:#x}");
        }
        Ok(window)
    }

    /// What devices can reach through the bridge's windows.
    pub fn reach(&self) -> Reach {
        self.window.as_ref().map_or(Reach::of(self.description.dma), PhbWindow::reach)
    }

    /// The functions that could be silenced.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// How many functions with a driver could not be silenced, and are not used.
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
        self.description.interrupts.source(at.device(), at.function(), pin)
    }

    /// Places the function's BARs and lets it answer to them.
    ///
    /// # Errors
    /// A BAR that is refused, or a command register that does not take.
    pub fn place(&mut self, at: DeviceId) -> Result<Bars, DeviceError> {
        let bars = bars::assign(&self.config, at, &mut self.windows)?;
        let io = if bars.first_io().is_some() { Command::IO } else { Command::empty() };
        command::enable_decoding(&self.config, at, Command::MEMORY | io)?;
        Ok(bars)
    }
}
