//! virtio over PCI, modern interface: reset, features, status, interrupts. Queues are set up in `queues`, and `config`
//! reads what the device says of itself.
//!
//! Source: virtio 1.2, sections 2.1, 3.1 and 4.1. Features are read once; from then on the private copy counts. After
//! an error in the set-up the device has FAILED in its status and must not be used.

use crate::interrupts::{Delivery, IrqSource};
use crate::virtio::error::TransportError;
use crate::virtio::features::{Features, Status};
use crate::virtio::regions::Regions;
use crate::virtio::registers::Common;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use papr::clock::{Clock, Deadline};
use papr::parts::{low_u8, low_u16};
use papr::platform::Width;
use papr::registers::Mmio;
use papr::registers::Register;

/// How long a device may take to reset.
const RESET_WAIT: Duration = Duration::from_millis(500);
/// VIRTIO_MSI_NO_VECTOR.
const NO_VECTOR: u64 = 0xffff;

/// One device's registers.
#[derive(Debug)]
pub struct Transport<M> {
    mmio: M,
    regions: Regions,
    features: Features,
    status: Status,
    generation: u8,
    lines: Vec<Arc<IrqSource>>,
}

impl<M: Mmio> Transport<M> {
    /// Resets the device and tells it that it has a driver.
    ///
    /// # Errors
    /// The registers cannot be reached, or the device does not reset in time.
    pub fn begin(mmio: M, regions: Regions, clock: &impl Clock) -> Result<Self, TransportError> {
        let (features, status) = (Features::empty(), Status::empty());
        let mut transport = Self { mmio, regions, features, status, generation: 0, lines: Vec::new() };
        transport.reset(clock)?;
        transport.add_status(Status::ACKNOWLEDGE)?;
        transport.add_status(Status::DRIVER)?;
        Ok(transport)
    }

    /// Resets the device. `Ok` means that the device confirmed it: it uses no buffer any more.
    ///
    /// # Errors
    /// No confirmation within half a second: the device may still write wherever it could before.
    pub fn reset(&mut self, clock: &impl Clock) -> Result<(), TransportError> {
        self.status = Status::empty();
        self.store(Common::Status, 0)?;
        let mut deadline = Deadline::after(clock, RESET_WAIT);
        loop {
            match self.read_status()? {
                found if found.is_empty() => return Ok(()),
                found if found == Status::all() => return Err(TransportError::Gone),
                found => {
                    if deadline.expired(clock) {
                        return Err(TransportError::NoReset(found.bits()));
                    }
                }
            }
        }
    }

    /// Accepts the offered features that are `wanted`, VERSION_1, and ACCESS_PLATFORM whenever it is offered. Call it
    /// once, after [`Self::begin`].
    ///
    /// # Errors
    /// No VERSION_1, or the device does not accept its own features.
    pub fn negotiate(&mut self, wanted: Features) -> Result<Features, TransportError> {
        self.negotiate_with(|_| wanted)
    }

    /// As [`Self::negotiate`], for features that depend on one another: `wanted` chooses among those offered.
    ///
    /// # Errors
    /// As there.
    pub fn negotiate_with(
        &mut self,
        wanted: impl FnOnce(Features) -> Features,
    ) -> Result<Features, TransportError> {
        let offered = self.offered()?;
        if !offered.contains(Features::VERSION_1) {
            return self.give_up(TransportError::NotModern(offered.bits()));
        }
        let accepted = offered & (wanted(offered) | Features::VERSION_1 | Features::ACCESS_PLATFORM);
        for (half, bits) in [(0, accepted.bits() & 0xffff_ffff), (1, accepted.bits() >> 32)] {
            self.store(Common::DriverFeatureSelect, half)?;
            self.store(Common::DriverFeature, bits)?;
        }
        self.add_status(Status::FEATURES_OK)?;
        let found = self.read_status()?;
        if !found.contains(Status::FEATURES_OK) {
            return self.give_up(TransportError::FeaturesRefused(accepted.bits()));
        }
        self.judge(found)?;
        self.features = accepted;
        Ok(accepted)
    }

    /// Reads each half of the offered features once.
    fn offered(&self) -> Result<Features, TransportError> {
        self.store(Common::DeviceFeatureSelect, 0)?;
        let low = self.load(Common::DeviceFeature)?;
        self.store(Common::DeviceFeatureSelect, 1)?;
        let high = self.load(Common::DeviceFeature)?;
        Ok(Features::from_bits_retain(low & 0xffff_ffff | high << 32))
    }

    /// The features agreed on.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether this device uses translated addresses.
    #[must_use]
    pub fn access_platform(&self) -> bool {
        self.features.contains(Features::ACCESS_PLATFORM)
    }

    /// Access to the registers, for a doorbell.
    #[must_use]
    pub fn mmio(&self) -> &M {
        &self.mmio
    }

    /// Number of queues that the device claims.
    ///
    /// # Errors
    /// The register cannot be read.
    pub fn queues(&self) -> Result<u16, TransportError> {
        Ok(low_u16(self.load(Common::NumQueues)?))
    }

    /// Gives message vector `index` to queue `index`, after [`Self::begin`]; configuration changes get no vector. False
    /// if the vector does not read back: then the queue has none.
    ///
    /// # Errors
    /// The registers cannot be reached.
    pub fn use_vector(&self, index: u16) -> Result<bool, TransportError> {
        self.store(Common::MsixConfig, NO_VECTOR)?;
        self.store(Common::QueueSelect, index.into())?;
        self.store(Common::QueueMsixVector, index.into())?;
        let taken = self.load(Common::QueueMsixVector)? == u64::from(index);
        if !taken {
            self.store(Common::QueueMsixVector, NO_VECTOR)?;
        }
        Ok(taken)
    }

    /// The ISR status register; a read clears a level interrupt.
    #[must_use]
    pub fn isr(&self) -> Option<Register> {
        self.regions.isr.and_then(|isr| isr.register(0, Width::W8))
    }

    /// Adds the interrupt source of the next queue: the first call is for queue 0, the second for queue 1.
    pub fn add_line(&mut self, line: Arc<IrqSource>) {
        self.lines.push(line);
    }

    /// The interrupt that queue 0 was given.
    #[must_use]
    pub fn line(&self) -> Option<&IrqSource> {
        self.lines.first().map(Arc::as_ref)
    }

    /// The interrupt that queue `index` was given.
    #[must_use]
    pub fn line_of(&self, index: u16) -> Option<Arc<IrqSource>> {
        self.lines.get(usize::from(index)).cloned()
    }

    /// How to wait for the device now.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.line().map_or(Delivery::Poll, IrqSource::delivery)
    }

    /// Sets DRIVER_OK: the device works on its queues from now on.
    ///
    /// # Errors
    /// The registers cannot be reached, or the device wants a reset already.
    pub fn start(&mut self) -> Result<(), TransportError> {
        self.add_status(Status::DRIVER_OK)?;
        self.alive()
    }

    /// Checks that the device still has the status that the driver set.
    ///
    /// # Errors
    /// The device wants a reset, was reset by somebody else, or is gone.
    pub fn alive(&self) -> Result<(), TransportError> {
        self.judge(self.read_status()?)
    }

    fn judge(&self, found: Status) -> Result<(), TransportError> {
        if found == Status::all() {
            return Err(TransportError::Gone);
        }
        if found.contains(Status::NEEDS_RESET) {
            return Err(TransportError::NeedsReset);
        }
        if found != self.status {
            return Err(TransportError::StatusLost { set: self.status.bits(), found: found.bits() });
        }
        Ok(())
    }

    /// Best effort: tells the device that the driver will not use it.
    fn give_up<T>(&mut self, error: TransportError) -> Result<T, TransportError> {
        let _ = self.add_status(Status::FAILED);
        Err(error)
    }

    fn add_status(&mut self, bits: Status) -> Result<(), TransportError> {
        self.status |= bits;
        self.store(Common::Status, self.status.bits().into())
    }

    fn read_status(&self) -> Result<Status, TransportError> {
        Ok(Status::from_bits_retain(low_u8(self.load(Common::Status)?)))
    }

    fn load(&self, field: Common) -> Result<u64, TransportError> {
        Ok(self.mmio.load(self.register(field)?)?)
    }

    fn store(&self, field: Common, value: u64) -> Result<(), TransportError> {
        Ok(self.mmio.store(self.register(field)?, value)?)
    }

    fn register(&self, field: Common) -> Result<Register, TransportError> {
        let (offset, width) = field.register();
        self.regions.common.register(offset, width).ok_or(TransportError::NoRegister(field))
    }
}

mod config;
mod queues;
mod reopen;

pub use config::DeviceConfig;
pub use queues::Doorbell;
pub use reopen::Reopen;
