//! Translation control entries: which memory the devices behind a PCI host bridge reach, at which addresses.
//!
//! Register-only hcalls (H_PUT_TCE, H_STUFF_TCE, H_GET_TCE): a list page would have to be shared.
//! Source: PAPR+ 14.5.4.2 (TCE hcalls) and 7.3.31 (dynamic DMA windows); QEMU `hw/ppc/spapr_iommu.c`,
//! `hw/ppc/spapr_rtas_ddw.c`.

mod dma_window;
mod dynamic;
mod error;
mod on_demand;
mod reach;
mod replace;
mod report;
mod table;
mod window;

pub use dma_window::DmaWindow;
pub use dynamic::{Ddw, DdwError};
pub use error::{MapCause, ReplaceCause, TceError};
pub use on_demand::{Iova, OnDemand};
pub use reach::Reach;
pub use report::{WindowKind, WindowReport};
pub use table::TceFlags;
pub use window::{PhbWindow, Route};
