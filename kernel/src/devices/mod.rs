//! Devices: host bridges, and the drivers bound to what is behind them.

pub mod bridge;
pub mod bus_masters;
mod error;
pub mod host_bridge;
mod interrupts;
pub mod set;

pub use error::DeviceError;
