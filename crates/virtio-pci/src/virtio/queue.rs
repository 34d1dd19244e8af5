//! A virtqueue: the ring, the memory it lives in, and the guard that keeps private addresses out of it.

#![allow(unsafe_code, reason = "only the caller knows how long memory is lent")]

use crate::virtio::ring::{Descriptor, Layout, QueueError, Ring, Used};
use crate::virtio::violation::Violation;
use alloc::vec::Vec;
use papr::platform::{HaltReason, Platform};
use svm_dma::dma::BusAddr;
use svm_dma::dma::{AddressGuard, Coherent, Dma, DmaError};

/// A split virtqueue of an untrusted device. It keeps the driver's payload of each chain, a `T`, by the chain's head.
#[derive(Debug)]
pub struct Queue<P: Platform, T> {
    dma: Dma<P>,
    guard: AddressGuard,
    coherent: Coherent<P::Memory>,
    ring: Ring<P::Memory>,
    addresses: Addresses,
    payloads: Vec<T>,
}

/// Bus addresses of the queue's three parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Descriptor table.
    pub descriptors: BusAddr,
    /// Available ring.
    pub available: BusAddr,
    /// Used ring.
    pub used: BusAddr,
}

impl<P: Platform, T: Default> Queue<P, T> {
    /// A queue of `size` descriptors (a power of two), which the device does not know yet.
    ///
    /// # Errors
    /// No memory for it.
    pub fn new(dma: &Dma<P>, size: u16) -> Result<Self, DmaError> {
        let layout = Layout::new(size).ok_or(DmaError::Empty)?;
        let coherent = dma.coherent(layout.total)?;
        let parts = part(&coherent, &layout).zip(Ring::new(coherent.memory().clone(), size));
        let Some((addresses, ring)) = parts else {
            // SAFETY: no device knows this memory.
            unsafe { dma.release(coherent) };
            return Err(DmaError::Empty);
        };
        let payloads = (0..size).map(|_| T::default()).collect();
        Ok(Self { dma: dma.clone(), guard: dma.guard(), coherent, ring, addresses, payloads })
    }

    /// Uses VIRTIO_RING_F_EVENT_IDX from now on; see [`Ring::signal_by_index`].
    pub fn signal_by_index(&mut self) {
        self.ring.signal_by_index();
    }

    /// The addresses to write to the device's registers.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Descriptors in the queue.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// Descriptors that are free.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.ring.free()
    }

    /// The head of the next chain, and the place of its payload; `None` without a free descriptor. The driver fills,
    /// uses and clears a payload in place, which saves moves.
    #[inline]
    #[must_use]
    pub fn place(&mut self) -> Option<(u16, &mut T)> {
        let head = self.ring.next_head()?;
        Some((head, self.payloads.get_mut(usize::from(head))?))
    }

    /// The payload of the chain `head`.
    #[inline]
    #[must_use]
    pub fn payload(&mut self, head: u16) -> Option<&mut T> {
        self.payloads.get_mut(usize::from(head))
    }

    /// Chains that the device holds.
    #[must_use]
    pub fn posted(&self) -> u16 {
        self.ring.posted()
    }

    /// Records a chain and writes it into free descriptors; the device does not see it until [`Self::publish`]. Returns
    /// the chain's head, which names the chain from then on.
    ///
    /// An address that this device must not have halts the guest, in every build.
    ///
    /// # Errors
    /// Nothing was changed.
    ///
    /// # Safety
    /// Each descriptor names memory that is lent through this queue's DMA, for that direction, until the chain comes
    /// back from [`Self::take`] or the device's reset is confirmed.
    #[inline(always)]
    pub unsafe fn stage(&mut self, chain: &[Descriptor]) -> Result<u16, QueueError> {
        let Self { guard, dma, ring, .. } = self;
        ring.stage_judged(chain, |descriptor| {
            if !guard.allows(descriptor.bus, descriptor.len.into()) && descriptor.len > 0 {
                dma.platform().halt(HaltReason::AddressOutsidePool {
                    bus: descriptor.bus.raw(),
                    len: descriptor.len.into(),
                });
            }
        })
    }

    /// Makes all staged chains visible with one store; true if the device wants a notification.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish(self.dma.platform())
    }

    /// Takes one completed chain back, if there is one.
    ///
    /// # Errors
    /// The device broke the protocol; the queue is broken from now on.
    #[inline]
    pub fn take(&mut self) -> Result<Option<Used>, Violation> {
        self.ring.take(self.dma.platform())
    }

    /// Enables the interrupt for the next completion; true if there is something to take already.
    #[must_use]
    pub fn arm(&mut self) -> bool {
        self.ring.arm(self.dma.platform())
    }

    /// Disables the interrupt.
    pub fn disarm(&mut self) {
        self.ring.disarm();
    }

    /// Frees the queue's memory if the reset is confirmed, otherwise puts it into quarantine. Returns all payloads, in
    /// the order of their heads.
    ///
    /// # Safety
    /// `reset_confirmed` is true only if the device's reset was confirmed, or it was never told of this queue.
    pub unsafe fn free_memory(self, reset_confirmed: bool) -> Vec<T> {
        let Self { dma, coherent, payloads, .. } = self;
        if reset_confirmed {
            // SAFETY: the caller promises that the device does not use the queue any more.
            unsafe { dma.release(coherent) };
        } else {
            dma.quarantine_coherent(coherent);
        }
        payloads
    }

    /// Puts the queue's memory into quarantine until the device's reset is confirmed.
    pub fn quarantine(self) {
        self.dma.quarantine_coherent(self.coherent);
    }
}

/// The parts' addresses; `None` when they wrap.
fn part<M>(coherent: &Coherent<M>, layout: &Layout) -> Option<Addresses> {
    let at = |offset: usize| coherent.bus.checked_add(u64::try_from(offset).ok()?);
    Some(Addresses {
        descriptors: at(layout.descriptors)?,
        available: at(layout.available)?,
        used: at(layout.used)?,
    })
}
