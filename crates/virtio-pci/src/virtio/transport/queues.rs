//! Set-up of a queue, and its doorbell.

use super::Transport;
use crate::virtio::error::TransportError;
use crate::virtio::features::Features;
use crate::virtio::queue::Queue;
use crate::virtio::registers::Common;
use crate::virtio::ring::MAX_SIZE;
use papr::parts::low_u16;
use papr::platform::{Platform, Width};
use papr::registers::Mmio;
use papr::registers::Register;
use svm_dma::dma::BusAddr;
use svm_dma::dma::Dma;

/// A queue's notification register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    at: Register,
    queue: u16,
}

impl Doorbell {
    /// Notifies the device of new chains in the queue.
    ///
    /// # Errors
    /// The register cannot be written.
    pub fn ring(self, mmio: &impl Mmio) -> Result<(), TransportError> {
        Ok(mmio.store(self.at, self.queue.into())?)
    }
}

impl<M: Mmio> Transport<M> {
    /// Sets up queue `index`, with as many descriptors as the device and `most` (a power of two) allow, in memory of
    /// `dma`.
    ///
    /// # Errors
    /// No such queue, an invalid size, or a register that does not read back as written.
    pub fn queue<P: Platform, T: Default>(
        &mut self,
        index: u16,
        most: u16,
        dma: &Dma<P>,
    ) -> Result<(Queue<P, T>, Doorbell), TransportError> {
        match self.set_up_queue(index, most, dma) {
            Err(error) => self.give_up(error),
            done => done,
        }
    }

    fn set_up_queue<P: Platform, T: Default>(
        &self,
        index: u16,
        most: u16,
        dma: &Dma<P>,
    ) -> Result<(Queue<P, T>, Doorbell), TransportError> {
        self.store(Common::QueueSelect, index.into())?;
        let offered = low_u16(self.load(Common::QueueSize)?);
        if offered == 0 {
            return Err(TransportError::NoQueue(index));
        }
        if !offered.is_power_of_two() || offered > MAX_SIZE {
            return Err(TransportError::QueueSize { queue: index, size: offered });
        }
        if self.load(Common::QueueEnable)? != 0 {
            return Err(TransportError::QueueInUse(index));
        }
        let size = offered.min(most);
        self.store(Common::QueueSize, size.into())?;
        let found = low_u16(self.load(Common::QueueSize)?);
        if found != size {
            return Err(TransportError::QueueSize { queue: index, size: found });
        }
        let doorbell = self.doorbell(index)?;
        let mut queue = Queue::new(dma, size).map_err(TransportError::Dma)?;
        if self.features.contains(Features::EVENT_IDX) {
            queue.signal_by_index();
        }
        match self.enable_queue(index, &queue) {
            Ok(()) => Ok((queue, doorbell)),
            Err(error) => {
                // The device may have accepted the addresses and enabled the queue.
                queue.quarantine();
                Err(error)
            }
        }
    }

    fn enable_queue<P: Platform, T: Default>(
        &self,
        index: u16,
        queue: &Queue<P, T>,
    ) -> Result<(), TransportError> {
        let addresses = queue.addresses();
        self.store_address(Common::QueueDescLow, Common::QueueDescHigh, addresses.descriptors)?;
        self.store_address(Common::QueueDriverLow, Common::QueueDriverHigh, addresses.available)?;
        self.store_address(Common::QueueDeviceLow, Common::QueueDeviceHigh, addresses.used)?;
        self.store(Common::QueueEnable, 1)?;
        if self.load(Common::QueueEnable)? == 1 { Ok(()) } else { Err(TransportError::QueueNotTaken(index)) }
    }

    fn store_address(&self, low: Common, high: Common, address: BusAddr) -> Result<(), TransportError> {
        self.store(low, address.raw() & 0xffff_ffff)?;
        self.store(high, address.raw() >> 32)
    }

    /// The selected queue's notification register, which must lie inside the region.
    fn doorbell(&self, index: u16) -> Result<Doorbell, TransportError> {
        let position = low_u16(self.load(Common::QueueNotifyOff)?);
        let outside = TransportError::NotifyOutside { queue: index, position };
        let offset = u32::from(position).checked_mul(self.regions.notify_multiplier).ok_or(outside)?;
        let at = self.regions.notify.register(offset, Width::W16).ok_or(outside)?;
        Ok(Doorbell { at, queue: index })
    }
}
