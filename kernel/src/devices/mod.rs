//! Devices: host bridges, and the drivers bound to what is behind them.

pub mod bridge;
mod error;

pub use error::DeviceError;
