//! A virtio device in memory: registers as QEMU lays them out, queues that it reads over the machine model's bus, and
//! the faults that a test selects.

use crate::model::{Model, ModelDevice};
use crate::unchecked;
use papr::addr::Gpa;
use papr::hcall::HcallError;
use papr::platform::Width;
use papr::registers::Mmio;
use papr::registers::Register;
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;
use virtio_pci::virtio::regions::Regions;

const BASE: u64 = 0x2100_0000_0000;

/// Where the registers of every modelled device are.
pub fn regions() -> Regions {
    let region = |n: u64| unchecked::registers(Gpa(BASE + n * 0x1000), 0x1000);
    Regions {
        common: region(0),
        notify: region(3),
        notify_multiplier: 4,
        isr: Some(region(1)),
        device: Some(region(2)),
    }
}

/// A buffer of a chain as the device found it in the descriptor table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    pub bus: u64,
    pub len: u32,
    pub device_writes: bool,
}

/// A chain as the device found it.
#[derive(Clone, Debug)]
pub struct Chain {
    pub head: u16,
    pub buffers: Vec<Buffer>,
}

/// One queue: its registers, and the device's place in the rings.
#[derive(Clone, Debug)]
pub struct DeviceQueue {
    pub bus: ModelDevice,
    pub max: u16,
    pub size: u16,
    pub enable: u16,
    pub notify_off: u16,
    pub vector: u16,
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
    seen: u16,
    completed: u16,
}

impl DeviceQueue {
    fn new(bus: ModelDevice, max: u16, notify_off: u16) -> Self {
        Self {
            bus,
            max,
            size: max,
            enable: 0,
            notify_off,
            vector: 0xffff,
            descriptors: 0,
            available: 0,
            used: 0,
            seen: 0,
            completed: 0,
        }
    }

    /// Chains made available since the last call.
    pub fn fetch(&mut self) -> Vec<Chain> {
        let mut chains = Vec::new();
        while self.seen != self.bus.read16(self.available + 2).unwrap() {
            let slot = u64::from(self.seen % self.size);
            let head = self.bus.read16(self.available + 4 + 2 * slot).unwrap();
            chains.push(Chain { head, buffers: self.walk(head) });
            self.seen = self.seen.wrapping_add(1);
        }
        chains
    }

    /// The chain that begins at `head`.
    pub fn walk(&self, head: u16) -> Vec<Buffer> {
        let mut buffers = Vec::new();
        let mut at = head;
        loop {
            assert!(at < self.size, "descriptor {at} of {}", self.size);
            assert!(buffers.len() < usize::from(self.size), "a chain that loops");
            let descriptor = self.descriptors + 16 * u64::from(at);
            let flags = self.bus.read16(descriptor + 12).unwrap();
            buffers.push(Buffer {
                bus: self.bus.read64(descriptor).unwrap(),
                len: self.bus.read32(descriptor + 8).unwrap(),
                device_writes: flags & 2 != 0,
            });
            if flags & 1 == 0 {
                return buffers;
            }
            at = self.bus.read16(descriptor + 14).unwrap();
        }
    }

    /// Puts one entry into the used ring.
    pub fn complete(&mut self, id: u32, written: u32) {
        let entry = self.used + 4 + 8 * u64::from(self.completed % self.size);
        self.bus.write32(entry, id).unwrap();
        self.bus.write32(entry + 4, written).unwrap();
        self.completed = self.completed.wrapping_add(1);
        self.bus.write16(self.used + 2, self.completed).unwrap();
    }
}

/// The faults of a device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The status does not go to 0.
    pub no_reset: bool,
    /// FEATURES_OK does not stay.
    pub no_features_ok: bool,
    /// These bits are not stored when they are accepted, and FEATURES_OK fails for it, as in QEMU.
    pub dropped_features: u64,
    /// The second read of the features returns these.
    pub second_features: Option<u64>,
    /// Set in every status that is read.
    pub status_bits: u8,
    /// Every register reads as ones.
    pub gone: bool,
    /// The configuration changes with each read of its generation.
    pub restless: bool,
    /// A queue size that is written has no effect.
    pub stuck_size: bool,
    /// A queue does not become enabled.
    pub no_enable: bool,
    /// Message vectors are refused.
    pub no_vector: bool,
    /// Register accesses fail.
    pub mmio: Option<HcallError>,
}

type OnNotify = Box<dyn FnMut(&mut DeviceQueue, u16) + Send>;

/// The device's registers.
pub struct Registers {
    pub faults: Faults,
    pub offered: u64,
    pub accepted: u64,
    pub status: u8,
    pub generation: u8,
    pub queues: Vec<DeviceQueue>,
    pub config: Vec<u8>,
    /// Queues that notifications came for.
    pub notified: Vec<u16>,
    device_select: u64,
    driver_select: u64,
    queue_select: u16,
    feature_reads: u32,
}

/// A device; clones are the same one.
#[derive(Clone)]
pub struct VirtioModel {
    registers: Arc<Mutex<Registers>>,
    on_notify: Arc<Mutex<Option<OnNotify>>>,
}

impl core::fmt::Debug for VirtioModel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VirtioModel")
    }
}

impl VirtioModel {
    /// A device that offers `features` (VERSION_1 and ACCESS_PLATFORM come from the caller, too), with one
    /// queue for each of `queues`, of at most that size, and the device configuration `config`.
    pub fn new(machine: &Model, features: u64, queues: &[u16], config: &[u8]) -> Self {
        let bus = machine.device(features & 1 << 33 != 0);
        let queues = (0..).zip(queues).map(|(i, max)| DeviceQueue::new(bus.clone(), *max, i)).collect();
        let registers = Registers {
            faults: Faults::default(),
            offered: features,
            accepted: 0,
            // As firmware may have left it.
            status: 0x0f,
            generation: 0,
            queues,
            config: config.to_vec(),
            notified: vec![],
            device_select: 0,
            driver_select: 0,
            queue_select: 0,
            feature_reads: 0,
        };
        Self { registers: Arc::new(Mutex::new(registers)), on_notify: Arc::default() }
    }

    /// The registers and everything else that the test may change.
    pub fn registers(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap()
    }

    /// What the device does about a notification.
    pub fn on_notify(&self, act: impl FnMut(&mut DeviceQueue, u16) + Send + 'static) {
        *self.on_notify.lock().unwrap() = Some(Box::new(act));
    }

    /// Lets the device act on a queue, as if it had been notified.
    pub fn act(&self, index: u16) {
        let mut act = self.on_notify.lock().unwrap();
        let mut registers = self.registers.lock().unwrap();
        // A device that was reset, or has no driver, does nothing.
        if registers.status & 4 == 0 {
            return;
        }
        if let (Some(act), Some(queue)) = (act.as_mut(), registers.queues.get_mut(usize::from(index))) {
            // As QEMU: a descriptor table at bus address 0 is a queue that has not been set up.
            if queue.descriptors > 0 {
                act(queue, index);
            }
        }
    }
}

impl Registers {
    fn queue(&mut self) -> Option<&mut DeviceQueue> {
        self.queues.get_mut(usize::from(self.queue_select))
    }

    fn load(&mut self, offset: u64, width: Width) -> u64 {
        let faults = self.faults;
        match (offset, width) {
            (0x04, Width::W32) => {
                self.feature_reads += 1;
                let features = match faults.second_features {
                    Some(other) if self.feature_reads > 2 => other,
                    _ => self.offered,
                };
                if self.device_select < 2 { features >> (32 * self.device_select) & 0xffff_ffff } else { 0 }
            }
            (0x12, Width::W16) => self.queues.len() as u64,
            (0x14, Width::W8) => u64::from(self.status | faults.status_bits),
            (0x15, Width::W8) => {
                if faults.restless {
                    self.generation = self.generation.wrapping_add(1);
                }
                self.generation.into()
            }
            (0x18, Width::W16) => self.queue().map_or(0, |q| q.size).into(),
            (0x1a, Width::W16) => self.queue().map_or(0, |q| q.vector).into(),
            (0x1c, Width::W16) => self.queue().map_or(0, |q| q.enable).into(),
            (0x1e, Width::W16) => self.queue().map_or(0, |q| q.notify_off).into(),
            (0x2000..0x3000, _) => {
                let from = (offset - 0x2000) as usize;
                let bytes = (from..from + width.bytes() as usize).rev();
                bytes.fold(0, |value, at| value << 8 | u64::from(self.config.get(at).copied().unwrap_or(0)))
            }
            other => panic!("the driver reads {other:x?}"),
        }
    }

    fn store(&mut self, offset: u64, width: Width, value: u64) {
        let faults = self.faults;
        match (offset, width) {
            (0x00, Width::W32) => self.device_select = value,
            (0x08, Width::W32) => self.driver_select = value,
            (0x0c, Width::W32) => {
                let shift = 32 * self.driver_select;
                self.accepted = self.accepted & !(0xffff_ffff << shift) | value << shift;
            }
            (0x10, Width::W16) => assert_eq!(value, 0xffff, "no vector is used for configuration changes"),
            (0x14, Width::W8) => self.set_status(value as u8),
            (0x1a, Width::W16) => {
                self.queue().unwrap().vector = if faults.no_vector { 0xffff } else { value as u16 };
            }
            (0x16, Width::W16) => self.queue_select = value as u16,
            (0x18, Width::W16) if !faults.stuck_size => self.queue().unwrap().size = value as u16,
            (0x18, Width::W16) => {}
            (0x1c, Width::W16) => self.queue().unwrap().enable = u16::from(!faults.no_enable),
            (0x20..0x38, Width::W32) => {
                let queue = self.queue().unwrap();
                let address = match offset & !7 {
                    0x20 => &mut queue.descriptors,
                    0x28 => &mut queue.available,
                    _ => &mut queue.used,
                };
                let shift = 8 * (offset & 4);
                *address = *address & !(0xffff_ffff << shift) | value << shift;
            }
            (0x3000..0x4000, Width::W16) => {
                assert_eq!(offset, 0x3000 + 4 * value, "notification of queue {value}");
                self.notified.push(value as u16);
            }
            other => panic!("the driver writes {other:x?}"),
        }
    }

    fn set_status(&mut self, status: u8) {
        if status == 0 {
            if self.faults.no_reset {
                return;
            }
            self.accepted = 0;
            self.feature_reads = 0;
            for queue in &mut self.queues {
                *queue = DeviceQueue::new(queue.bus.clone(), queue.max, queue.notify_off);
            }
        }
        let taken = self.accepted & self.faults.dropped_features == 0;
        // As QEMU: VERSION_1 and ACCESS_PLATFORM have to be accepted.
        let needed = self.offered & (1 << 33);
        let fine = taken && self.accepted & !self.offered == 0 && self.accepted & needed == needed;
        self.status = if fine && !self.faults.no_features_ok { status } else { status & !8 };
    }
}

// SAFETY: the registers are a model's, whose device reaches no memory of this process.
#[allow(unsafe_code, reason = "a model keeps the promises")]
unsafe impl Mmio for VirtioModel {
    fn load(&self, register: Register) -> Result<u64, HcallError> {
        let (at, width) = (register.gpa(), register.width());
        let mut registers = self.registers();
        if let Some(error) = registers.faults.mmio {
            return Err(error);
        }
        if registers.faults.gone {
            return Ok(u64::MAX >> (64 - 8 * width.bytes()));
        }
        Ok(registers.load(at.0 - BASE, width))
    }

    fn store(&self, register: Register, value: u64) -> Result<(), HcallError> {
        let (at, width) = (register.gpa(), register.width());
        let mut registers = self.registers();
        if let Some(error) = registers.faults.mmio {
            return Err(error);
        }
        if registers.faults.gone {
            return Ok(());
        }
        registers.store(at.0 - BASE, width, value);
        drop(registers);
        if at.0 >= BASE + 0x3000 {
            self.act(value as u16);
        }
        Ok(())
    }
}
