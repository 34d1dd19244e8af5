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

/// The queue of requests, and descriptors that are asked for in it.
const REQUESTS: u16 = 0;
const QUEUE_SIZE: u16 = 8;
/// Bytes that are asked for; a device may give fewer.
pub const BYTES: usize = 64;

/// Reads up to [`BYTES`] random bytes, at least one, and resets the device, whatever became of it: it has nothing of ours
/// afterwards, or its memory stays in quarantine. `dma` gives it its DMA, with or without VIRTIO_F_ACCESS_PLATFORM.
///
/// Nobody can tell how random the bytes are. Mix them with others.
///
/// # Errors
/// There are none within `patience`.
pub fn read_once<M: Mmio, P: Platform, E: From<RngError>>(
    mut transport: Transport<M>,
    patience: Duration,
    dma: impl FnOnce(bool) -> Result<Dma<P>, E>,
) -> Result<Vec<u8>, E> {
    transport.negotiate(Features::empty()).map_err(RngError::from)?;
    let dma = dma(transport.access_platform())?;
    let (mut queue, mut lent) = (None, None);
    let answer = exchange(&mut transport, &dma, patience, &mut queue, &mut lent);
    let reset_confirmed = transport.reset(dma.platform()).is_ok();
    if let Some(queue) = queue {
        // SAFETY: what the reset of this device answered.
        drop(unsafe { queue.free_memory(reset_confirmed) });
    }
    if let Some(mapping) = lent {
        if reset_confirmed {
            // SAFETY: the device has said that it is reset.
            drop(unsafe { dma.unmap(mapping) });
        } else {
            dma.quarantine(mapping);
        }
    }
    if reset_confirmed {
        // SAFETY: the device has said that it is reset.
        unsafe { dma.confirm_reset() };
    }
    Ok(answer?)
}

/// What the request needs is left in `queue` and `lent` while the device may use it.
fn exchange<M: Mmio, P: Platform>(
    transport: &mut Transport<M>,
    dma: &Dma<P>,
    patience: Duration,
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
    let mut deadline = Deadline::after(dma.platform(), patience);
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
