//! The shared pool: the only memory of a secure guest that the host may see.
//!
//! Whole 64 KiB frames, shared once at boot. A frame in use belongs to one device and one slot size, so the
//! neighbours of a slot are of the same device. All metadata is private: overwriting every byte of the pool
//! with noise changes no decision made here.

mod allocator;
mod frame;
mod slot;
mod statistics;

pub use allocator::{Pool, PoolExhausted};
pub use slot::{Account, SizeClass, Slot};
pub use statistics::{DeviceStatistics, PoolStatistics};

#[cfg(test)]
mod tests;
