//! The atomics for data that CPUs share: the processor's; with `--cfg loom`, loom's inside a loom model
//! (`loom_sync.rs`).

#[cfg(loom)]
pub use crate::loom_sync::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
