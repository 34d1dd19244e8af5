//! PCI below one host bridge: config space through RTAS, functions, capabilities, and bus numbers, windows and BARs,
//! which this kernel assigns itself.

pub mod bars;
pub mod bridge;
pub mod capabilities;
pub mod command;
pub mod config;
pub mod functions;
pub mod msix;
pub mod placement;
pub mod scan;
pub mod slots;
pub mod windows;
