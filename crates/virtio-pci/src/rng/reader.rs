//! One request to a device, and its end.

#![allow(unsafe_code, reason = "what the device held is given back once its reset is confirmed")]

use crate::rng::error::RngError;
use crate::virtio::features::Features;
use crate::virtio::queue::Queue;
use crate::virtio::ring::Descriptor;
use crate::virtio::transport::{Doorbell, Transport};
use alloc::vec::Vec;
use core::time::Duration;
use papr::clock::Deadline;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::{Dma, Mapping};

/// The number of the request queue, and its most descriptors.
const REQUESTS: u16 = 0;
const QUEUE_SIZE: u16 = 8;
/// Bytes in a request; a device may return fewer.
pub const BYTES: usize = 64;

/// Reads 1 to [`BYTES`] random bytes, then resets the device in any case: the device holds no memory afterwards, or
/// that memory stays in quarantine. `dma` makes the device's DMA, for a device with or without
/// VIRTIO_F_ACCESS_PLATFORM.
///
/// The host chooses the bytes: mix them with others.
///
/// # Errors
/// There are none within `timeout`.
pub fn read_once<M: Mmio, P: Platform, E: From<RngError>>(
    mut transport: Transport<M>,
    timeout: Duration,
    dma: impl FnOnce(bool) -> Result<Dma<P>, E>,
) -> Result<Vec<u8>, E> {
    transport.negotiate(Features::empty()).map_err(RngError::from)?;
    let dma = dma(transport.access_platform())?;
    let (mut queue, mut lent) = (None, None);
    let answer = exchange(&mut transport, &dma, timeout, &mut queue, &mut lent);
    let reset_confirmed = transport.reset(dma.platform()).is_ok();
    if let Some(queue) = queue {
        // SAFETY: `reset_confirmed` is the result of this device's reset.
        drop(unsafe { queue.free_memory(reset_confirmed) });
    }
    if let Some(mapping) = lent {
        if reset_confirmed {
            // SAFETY: the device confirmed its reset.
            drop(unsafe { dma.unmap(mapping) });
        } else {
            dma.quarantine(mapping);
        }
    }
    if reset_confirmed {
        // SAFETY: the device confirmed its reset.
        unsafe { dma.confirm_reset() };
    }
    Ok(answer?)
}

/// Makes the request. Leaves its memory in `queue` and `lent`, where the device may still use it.
fn exchange<M: Mmio, P: Platform>(
    transport: &mut Transport<M>,
    dma: &Dma<P>,
    timeout: Duration,
    queue: &mut Option<Queue<P, ()>>,
    lent: &mut Option<Mapping>,
) -> Result<Vec<u8>, RngError> {
    let (new, doorbell): (Queue<P, ()>, Doorbell) = transport.queue(REQUESTS, QUEUE_SIZE, dma)?;
    let queue = queue.insert(new);
    let mut buffer = alloc::vec![0; BYTES];
    dma.map_at(lent, &mut buffer, BYTES, true)?;
    let pieces = lent.as_ref().map_or(&[][..], Mapping::segments).iter();
    let chain: Vec<_> =
        pieces.map(|piece| Descriptor { bus: piece.bus, len: piece.len, device_writes: true }).collect();
    // SAFETY: the mapping stays in `lent` until the chain has come back, or the caller has reset the device.
    unsafe { queue.stage(&chain) }?;
    transport.start()?;
    if queue.publish() {
        doorbell.ring(transport.mmio())?;
    }
    let mut deadline = Deadline::after(dma.platform(), timeout);
    let used = loop {
        if let Some(used) = queue.take()? {
            break used;
        }
        if deadline.expired(dma.platform()) {
            transport.alive()?;
            return Err(RngError::Timeout);
        }
    };
    let written = usize::try_from(used.written).unwrap_or(0).min(BYTES);
    if written == 0 {
        return Err(RngError::Nothing);
    }
    // SAFETY: the queue has taken the chain back from the device.
    let mut bytes = unsafe { dma.finish_at(lent, written) };
    bytes.truncate(written);
    Ok(bytes)
}
