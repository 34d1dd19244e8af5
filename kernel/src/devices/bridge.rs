//! A PCI host bridge: its functions silenced, its DMA window set up, its devices given addresses.

use crate::devices::DeviceError;
use crate::platform::pseries::Pseries;
use alloc::vec::Vec;
use postern_core::addr::GpaRange;
use postern_core::dma::DmaSystem;
use postern_core::fdt;
use postern_core::pci::bars::{self, Bars};
use postern_core::pci::command::{self, Command};
use postern_core::pci::config::{DeviceAddr, RtasConfig};
use postern_core::pci::functions::{Function, scan};
use postern_core::pci::windows::Windows;
use postern_core::tce::{Ddw, PhbWindow, WindowReport};

/// A bridge ready for its devices' drivers.
#[derive(Debug)]
pub struct Bridge {
    config: RtasConfig<Pseries>,
    windows: Windows,
    functions: Vec<Function>,
    dma: PhbWindow,
}

impl Bridge {
    /// Finds the functions behind the bridge, stops each from accessing memory, and only then sets up the
    /// window through which they will.
    ///
    /// # Errors
    /// The bridge's windows cannot be used.
    pub fn open(
        description: &fdt::Bridge,
        ram: &[GpaRange],
        system: &DmaSystem<Pseries>,
    ) -> Result<Self, DeviceError> {
        let config = RtasConfig::new(Pseries, description.buid);
        let windows = Windows::new(&description.windows, ram)?;
        let mut functions = scan(&config);
        functions.retain(|function| match command::quiesce(&config, function.at) {
            Ok(()) => true,
            Err(error) => {
                log::warn!("pci {function}: cannot be silenced: {error}");
                false
            }
        });
        let ddw = Ddw { rtas: &Pseries, buid: description.buid, config_address: 0 };
        let dma = system.bridge(description.dma, description.ddw.is_some().then_some(&ddw), ram)?;
        Ok(Self { config, windows, functions, dma })
    }

    /// The functions that could be silenced.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Config space behind the bridge.
    pub fn config(&self) -> &RtasConfig<Pseries> {
        &self.config
    }

    /// The DMA window.
    pub fn dma(&self) -> &PhbWindow {
        &self.dma
    }

    /// What the DMA window maps.
    pub fn dma_report(&self) -> WindowReport {
        self.dma.report()
    }

    /// Places the function's BARs and lets it answer to them.
    ///
    /// # Errors
    /// A BAR that is refused, or a command register that does not take.
    pub fn place(&mut self, at: DeviceAddr) -> Result<Bars, DeviceError> {
        let bars = bars::assign(&self.config, at, &mut self.windows)?;
        let io = if bars.first_io().is_some() { Command::IO } else { Command::empty() };
        command::enable_decoding(&self.config, at, Command::MEMORY | io)?;
        Ok(bars)
    }

    /// Lets the function access memory; what it may reach is in place.
    ///
    /// # Errors
    /// A command register that does not take.
    pub fn start(&self, at: DeviceAddr) -> Result<(), DeviceError> {
        Ok(command::enable_bus_master(&self.config, at)?)
    }
}
