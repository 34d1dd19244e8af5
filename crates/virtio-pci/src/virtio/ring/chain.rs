//! Which chains of descriptors the ring accepts from a driver.

use crate::virtio::violation::Violation;
use svm_dma::dma::BusAddr;
use thiserror::Error;

/// One buffer of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Bus address of the buffer.
    pub bus: BusAddr,
    /// Bytes; not 0.
    pub len: u32,
    /// The device writes it; else the device reads it.
    pub device_writes: bool,
}

/// Why a chain was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// Not enough free descriptors now.
    #[error("{want} descriptors wanted, {free} free")]
    Full {
        /// Descriptors asked for.
        want: usize,
        /// Descriptors free.
        free: u16,
    },
    /// A chain without descriptors.
    #[error("empty descriptor chain")]
    Empty,
    /// A descriptor without bytes, or a chain of 4 GiB or more.
    #[error("descriptor length 0, or a chain of 4 GiB")]
    Length,
    /// A device-readable descriptor after a device-writable one (virtio 1.2, 2.7.4.2).
    #[error("device-readable descriptor after a device-writable one")]
    Order,
    /// The queue is latched broken.
    #[error("queue broken: {0}")]
    Broken(Violation),
}

/// Checks a chain by the rules of virtio 1.2, 2.7.4, and calls `judge` for each descriptor. Returns how many bytes the
/// device may write.
#[inline(always)]
pub(super) fn check(chain: &[Descriptor], mut judge: impl FnMut(&Descriptor)) -> Result<u32, QueueError> {
    // These are sums of 32-bit lengths, of a chain that fits in memory: they do not wrap.
    let (mut total, mut writable) = (0u64, 0u64);
    let (mut empty, mut disordered, mut writing) = (false, false, false);
    for descriptor in chain {
        judge(descriptor);
        let len = u64::from(descriptor.len);
        empty |= len == 0;
        disordered |= writing && !descriptor.device_writes;
        writing = descriptor.device_writes;
        total = total.wrapping_add(len);
        if writing {
            writable = writable.wrapping_add(len);
        }
    }
    match u32::try_from(writable) {
        _ if chain.is_empty() => Err(QueueError::Empty),
        Ok(writable) if !empty && total <= u32::MAX.into() => {
            if disordered {
                Err(QueueError::Order)
            } else {
                Ok(writable)
            }
        }
        _ => Err(QueueError::Length),
    }
}
