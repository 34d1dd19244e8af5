//! A transport for the crate that accesses registers by hypercalls, as a secure guest must. The crate's own would store
//! to device memory.

use core::mem::size_of;
use core::time::Duration;
use papr::clock::Deadline;
use papr::platform::Width;
use papr::registers::Mmio;
use papr::registers::Register;
use postern_kernel::platform::pseries::Pseries;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use virtio_pci::virtio::regions::Regions;
use virtio_pci::virtio::registers::Common;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// How long the device may take to reset.
const RESET_WAIT: Duration = Duration::from_millis(500);

/// A disk's registers. A failed access panics, because the crate's trait cannot return an error.
pub struct Registers {
    regions: Regions,
    doorbell: Option<Doorbell>,
}

/// The register that takes notifications of a queue.
#[derive(Clone, Copy)]
pub struct Doorbell {
    at: Register,
    queue: u16,
}

impl Doorbell {
    pub fn ring(self) {
        must(Pseries.store(self.at, self.queue.into()));
    }
}

fn must<T, E: core::fmt::Display>(done: core::result::Result<T, E>) -> T {
    done.unwrap_or_else(|error| panic!("virtio-drivers: a register: {error}"))
}

impl Registers {
    pub fn new(regions: Regions) -> Self {
        let mut registers = Self { regions, doorbell: None };
        registers.doorbell = Some(registers.doorbell(0));
        registers
    }

    /// The doorbell of a queue. Its offset is kept for queue 0, so that a notification takes no hypercall to read it.
    pub fn doorbell(&self, queue: u16) -> Doorbell {
        self.select(queue);
        let offset = self.load(Common::QueueNotifyOff) as u32 * self.regions.notify_multiplier;
        let at = self.regions.notify.register(offset, Width::W16).expect("a doorbell inside its region");
        Doorbell { at, queue }
    }

    fn select(&self, queue: u16) {
        self.store(Common::QueueSelect, queue.into());
    }

    fn at(&self, field: Common) -> Register {
        let (offset, width) = field.register();
        self.regions.common.register(offset, width).expect("the common structure was judged")
    }

    fn load(&self, field: Common) -> u64 {
        must(Pseries.load(self.at(field)))
    }

    fn store(&self, field: Common, value: u64) {
        must(Pseries.store(self.at(field), value));
    }

    fn store_address(&self, low: Common, high: Common, address: PhysAddr) {
        self.store(low, address & 0xffff_ffff);
        self.store(high, address >> 32);
    }

    fn reset(&self) {
        self.store(Common::Status, 0);
        let mut deadline = Deadline::after(&Pseries, RESET_WAIT);
        while self.load(Common::Status) != 0 {
            assert!(!deadline.expired(&Pseries), "virtio-drivers: the disk does not reset");
        }
    }
}

impl Transport for Registers {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn read_device_features(&mut self) -> u64 {
        self.store(Common::DeviceFeatureSelect, 0);
        let low = self.load(Common::DeviceFeature);
        self.store(Common::DeviceFeatureSelect, 1);
        low | self.load(Common::DeviceFeature) << 32
    }

    fn write_driver_features(&mut self, features: u64) {
        for (half, bits) in [(0, features & 0xffff_ffff), (1, features >> 32)] {
            self.store(Common::DriverFeatureSelect, half);
            self.store(Common::DriverFeature, bits);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.select(queue);
        self.load(Common::QueueSize) as u32
    }

    #[inline]
    fn notify(&mut self, queue: u16) {
        match self.doorbell.filter(|doorbell| doorbell.queue == queue) {
            Some(doorbell) => doorbell.ring(),
            None => self.doorbell(queue).ring(),
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.load(Common::Status) as u32)
    }

    fn set_status(&mut self, status: DeviceStatus) {
        if status.is_empty() {
            self.reset();
        } else {
            self.store(Common::Status, status.bits().into());
        }
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.select(queue);
        self.store(Common::QueueSize, size.into());
        self.store_address(Common::QueueDescLow, Common::QueueDescHigh, descriptors);
        self.store_address(Common::QueueDriverLow, Common::QueueDriverHigh, driver_area);
        self.store_address(Common::QueueDeviceLow, Common::QueueDeviceHigh, device_area);
        self.store(Common::QueueEnable, 1);
    }

    /// Over PCI only a reset disables a queue. After it the device uses nothing that it was lent.
    fn queue_unset(&mut self, _: u16) {
        self.reset();
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.select(queue);
        self.load(Common::QueueEnable) == 1
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        self.load(Common::ConfigGeneration) as u32
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let region = self.regions.device.ok_or(Error::ConfigSpaceMissing)?;
        let mut value = T::new_zeroed();
        // The fields that the block driver reads are words.
        if size_of::<T>() != 4 {
            return Err(Error::Unsupported);
        }
        let at = region.register(offset as u32, Width::W32).ok_or(Error::ConfigSpaceTooSmall)?;
        let word = must(Pseries.load(at)) as u32;
        value.as_mut_bytes().copy_from_slice(&word.to_le_bytes());
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        Err(Error::Unsupported)
    }
}
