//! The RTAS services that safe code can call.
//!
//! None of them takes an address of the guest's memory, in any argument. The published ultravisor chooses its handler
//! by the token alone (`svm/svm-rtas-hdlr.c`), and no two services of an accepted tree have one token
//! (`pseries_tree::rtas`): so a call of one of these reads and writes its own argument block and nothing more. Only
//! `unsafe` code of the kernel calls the services that take addresses (`start-cpu`, `ibm,nmi-register`, `ibm,os-term`).

/// A service that takes no address. Source: PAPR+ 7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Reads a register of a PCI function's configuration space.
    ReadPciConfig,
    /// Writes a register of a PCI function's configuration space.
    WritePciConfig,
    /// Sets how many message interrupts a PCI function has.
    ChangeMsi,
    /// Returns the interrupt source of a message.
    QueryInterruptSource,
    /// Routes an interrupt source to a server, with a priority.
    SetXive,
    /// Masks an interrupt source.
    InterruptOff,
    /// Returns which dynamic DMA windows the bridge offers.
    QueryDmaWindow,
    /// Makes a dynamic DMA window.
    CreateDmaWindow,
    /// Removes a DMA window of a host bridge.
    RemoveDmaWindow,
    /// Gives a host bridge the DMA windows that it had at boot.
    ResetDmaWindows,
    /// Reads the clock of the platform: year, month, day, hour, minute, second, nanosecond.
    GetTimeOfDay,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 11] = [
        Self::ReadPciConfig,
        Self::WritePciConfig,
        Self::ChangeMsi,
        Self::QueryInterruptSource,
        Self::SetXive,
        Self::InterruptOff,
        Self::QueryDmaWindow,
        Self::CreateDmaWindow,
        Self::RemoveDmaWindow,
        Self::ResetDmaWindows,
        Self::GetTimeOfDay,
    ];

    /// The property of the tree's `/rtas` that holds its token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadPciConfig => "ibm,read-pci-config",
            Self::WritePciConfig => "ibm,write-pci-config",
            Self::ChangeMsi => "ibm,change-msi",
            Self::QueryInterruptSource => "ibm,query-interrupt-source-number",
            Self::SetXive => "ibm,set-xive",
            Self::InterruptOff => "ibm,int-off",
            Self::QueryDmaWindow => "ibm,query-pe-dma-window",
            Self::CreateDmaWindow => "ibm,create-pe-dma-window",
            Self::RemoveDmaWindow => "ibm,remove-pe-dma-window",
            Self::ResetDmaWindows => "ibm,reset-pe-dma-window",
            Self::GetTimeOfDay => "get-time-of-day",
        }
    }

    /// Number of argument words. A call with another number is not made: the ultravisor would read words that nobody
    /// wrote.
    #[must_use]
    pub const fn arguments(self) -> usize {
        match self {
            Self::GetTimeOfDay => 0,
            Self::InterruptOff | Self::RemoveDmaWindow => 1,
            Self::SetXive | Self::QueryDmaWindow | Self::ResetDmaWindows => 3,
            Self::ReadPciConfig | Self::QueryInterruptSource => 4,
            Self::WritePciConfig | Self::CreateDmaWindow => 5,
            Self::ChangeMsi => 6,
        }
    }
}
