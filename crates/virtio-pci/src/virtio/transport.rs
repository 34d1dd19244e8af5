//! virtio over PCI, modern interface: reset, features, status, interrupts. Queues are set up in `queues`, and `config`
//! reads what the device says of itself.
//!
//! Source: virtio 1.2, sections 2.1, 3.1 and 4.1. Features are read once; the private copy decides from then
//! on. After an error in a step of the set-up the device has FAILED in its status and is not to be used.

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
/// VIRTIO_MSI_NO_VECTOR
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

    /// Resets the device. `Ok` is the device's word that it has let go of every buffer.
    ///
    /// # Errors
    /// No such word within half a second: the device may still write wherever it could before.
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

    /// Agrees on features: of those offered the `wanted` ones, VERSION_1, and ACCESS_PLATFORM whenever it is
    /// offered. Once, after [`Self::begin`].
    ///
    /// # Errors
    /// No VERSION_1, or the device does not accept its own features.
    pub fn negotiate(&mut self, wanted: Features) -> Result<Features, TransportError> {
        let offered = self.offered()?;
        if !offered.contains(Features::VERSION_1) {
            return self.give_up(TransportError::NotModern(offered.bits()));
        }
        let accepted = offered & (wanted | Features::VERSION_1 | Features::ACCESS_PLATFORM);
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

    /// Each half once.
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

    /// The registers themselves, for a doorbell.
    #[must_use]
    pub fn mmio(&self) -> &M {
        &self.mmio
    }

    /// Queues that the device says it has.
    ///
    /// # Errors
    /// The register cannot be read.
    pub fn queues(&self) -> Result<u16, TransportError> {
        Ok(low_u16(self.load(Common::NumQueues)?))
    }

    /// Gives message vector `index` to queue `index`, after [`Self::begin`]; changes of the configuration have
    /// none. False when the device does not take it, as its register tells: then it has none.
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

    /// The ISR status register; reading it takes a level interrupt back.
    #[must_use]
    pub fn isr(&self) -> Option<Register> {
        self.regions.isr.and_then(|isr| isr.register(0, Width::W8))
    }

    /// Relies on the interrupts of `line` from now on: the first call's for queue 0, the next one's for queue 1.
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

    /// How the device is to be waited for now.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.line().map_or(Delivery::Poll, IrqSource::delivery)
    }

    /// Lets the device work on its queues.
    ///
    /// # Errors
    /// The registers cannot be reached, or the device wants a reset already.
    pub fn start(&mut self) -> Result<(), TransportError> {
        self.add_status(Status::DRIVER_OK)?;
        self.alive()
    }

    /// Looks whether the device is still in the state that the driver brought it to.
    ///
    /// # Errors
    /// It wants a reset, has been reset behind the driver's back, or is gone.
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
