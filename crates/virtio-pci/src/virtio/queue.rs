//! A virtqueue: the ring, the memory it lives in, and the guard that keeps private addresses out of it.

#![allow(unsafe_code, reason = "only the caller knows how long memory is lent")]

use crate::virtio::ring::{Descriptor, Layout, QueueError, Ring, Used};
use crate::virtio::violation::Violation;
use alloc::vec::Vec;
use papr::platform::{HaltReason, Platform};
use svm_dma::dma::BusAddr;
use svm_dma::dma::{AddressGuard, Coherent, Dma, DmaError};

/// A split virtqueue of a device that may lie. It keeps what the driver wants to know of each chain, a `T`, by the
/// chain's head.
#[derive(Debug)]
pub struct Queue<P: Platform, T> {
    dma: Dma<P>,
    guard: AddressGuard,
    coherent: Coherent<P::Memory>,
    ring: Ring<P::Memory>,
    addresses: Addresses,
    payloads: Vec<T>,
}

/// Where the device finds the three parts.
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
    /// A queue of `size` descriptors (a power of two), which the device does not know of yet.
    ///
    /// # Errors
    /// No memory for it.
    pub fn new(dma: &Dma<P>, size: u16) -> Result<Self, DmaError> {
        let layout = Layout::new(size).ok_or(DmaError::Empty)?;
        let coherent = dma.coherent(layout.total)?;
        let parts = part(&coherent, &layout).zip(Ring::new(coherent.memory().clone(), size));
        let Some((addresses, ring)) = parts else {
            // SAFETY: no device was told of it.
            unsafe { dma.release(coherent) };
            return Err(DmaError::Empty);
        };
        let payloads = (0..size).map(|_| T::default()).collect();
        Ok(Self { dma: dma.clone(), guard: dma.guard(), coherent, ring, addresses, payloads })
    }

    /// From now on both sides say by an index what they want to hear of; see [`Ring::signal_by_index`].
    pub fn signal_by_index(&mut self) {
        self.ring.signal_by_index();
    }

    /// What to tell the device.
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

    /// The head that the next chain gets, and the place of that chain's payload; `None` without a free descriptor. A
    /// payload lies where it is made, used and ended: it may be too large to be moved about.
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

    /// Remembers a chain and writes it into free descriptors; the device does not see it until
    /// [`Self::publish`]. Answers the chain's head, which names it from then on.
    ///
    /// An address that this device must not have ends the run, in every build.
    ///
    /// # Errors
    /// Nothing has been changed.
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

    /// Makes all staged chains visible with one store; true when the device wants a notification.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish(self.dma.platform())
    }

    /// Takes one completed chain back, if there is one.
    ///
    /// # Errors
    /// The device lied; the queue is broken from now on.
    #[inline]
    pub fn take(&mut self) -> Result<Option<Used>, Violation> {
        self.ring.take(self.dma.platform())
    }

    /// Asks for an interrupt at the next completion; true when there is something to take already.
    #[must_use]
    pub fn arm(&mut self) -> bool {
        self.ring.arm(self.dma.platform())
    }

    /// Asks for no interrupts any more.
    pub fn disarm(&mut self) {
        self.ring.disarm();
    }

    /// Gives the queue's memory back, or keeps it from every further use until the device's reset is
    /// confirmed. Answers all payloads, in the order of their heads.
    ///
    /// # Safety
    /// `reset_confirmed` is true only if the device's reset was confirmed, or it was never told of this queue.
    pub unsafe fn free_memory(self, reset_confirmed: bool) -> Vec<T> {
        let Self { dma, coherent, payloads, .. } = self;
        if reset_confirmed {
            // SAFETY: the caller says that the device uses the queue no more.
            unsafe { dma.release(coherent) };
        } else {
            dma.quarantine_coherent(coherent);
        }
        payloads
    }

    /// Keeps the queue's memory from every further use until the device's reset is confirmed.
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
