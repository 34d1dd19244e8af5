//! Devices: host bridges, and the drivers bound to what is behind them.

pub mod bridge;
mod error;
mod interrupts;
pub mod masters;
pub mod set;

pub use error::DeviceError;
