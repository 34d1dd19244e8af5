//! What CPUs share: the processor's atomics. The tests have the same, but inside a loom model these are made of what
//! loom watches: `interleavings/watched.rs`.

#[cfg(test)]
pub(crate) use crate::interleavings::watched::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(not(test))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
