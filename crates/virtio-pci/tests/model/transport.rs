//! Set-up with honest devices in every combination, and with one violation at a time.

#![allow(unsafe_code, reason = "queues are given back without a device that could use them")]

use papr::clock::Clock;
use papr::hcall::HcallError;
use postern_cases::case;
use std::vec::Vec;
use testkit::model::{Combination, Model};
use testkit::unchecked::{LetGo, bus_addr};
use testkit::virtio_model::{VirtioModel, regions};
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::features::Features;
use virtio_pci::virtio::queue::Queue;
use virtio_pci::virtio::transport::Doorbell;
use virtio_pci::virtio::transport::Transport;

const VERSION_1: u64 = 1 << 32;
const ACCESS_PLATFORM: u64 = 1 << 33;
const WANTED: Features = Features::from_bits_retain(1 << 5 | 1 << 9);

struct Rig {
    machine: Model,
    device: VirtioModel,
}

fn rig(features: u64, queues: &[u16]) -> Rig {
    let machine = Model::new(false);
    let device = VirtioModel::new(&machine, features, queues, &[1, 2, 3, 4, 5, 6, 7, 8]);
    Rig { machine, device }
}

impl Rig {
    fn begin(&self) -> Result<Transport<VirtioModel>, TransportError> {
        Transport::begin(self.device.clone(), regions(), &self.machine)
    }

    fn negotiate(&self) -> Result<Transport<VirtioModel>, TransportError> {
        let mut transport = self.begin()?;
        transport.negotiate(WANTED)?;
        Ok(transport)
    }

    fn queue(&self, most: u16) -> Result<(Queue<Model, ()>, Doorbell), TransportError> {
        let mut transport = self.negotiate()?;
        transport.queue(0, most, &self.machine.dma(false))
    }

    fn status(&self) -> u8 {
        self.device.registers().status
    }
}

fn honest() -> Rig {
    rig(VERSION_1, &[256])
}

fn free_memory(queue: Queue<Model, ()>, reset_confirmed: bool) {
    // SAFETY: the model's devices reach no memory of this process.
    drop(unsafe { queue.free_memory(reset_confirmed) });
}

#[test]
fn honest_device_is_set_up_in_all_four_combinations() {
    case!("NEG-03", Work);
    for combination in Combination::ALL {
        let machine = combination.model();
        let features = VERSION_1 | if combination.access_platform { ACCESS_PLATFORM } else { 0 };
        let device = VirtioModel::new(&machine, features, &[1024], &[]);
        let mut transport = Transport::begin(device.clone(), regions(), &machine).unwrap();
        transport.negotiate(WANTED).unwrap();
        assert_eq!(transport.access_platform(), combination.access_platform);
        let dma = machine.dma(transport.access_platform());
        let (queue, doorbell) = transport.queue::<_, ()>(0, 256, &dma).unwrap();
        transport.start().unwrap();
        assert_eq!(device.registers().status, 0x0f);
        let registers = device.registers();
        let other_side = &registers.queues[0];
        assert_eq!((other_side.size, other_side.enable), (256, 1));
        assert_eq!(other_side.descriptors, queue.addresses().descriptors.raw());
        assert_eq!(other_side.available, queue.addresses().available.raw());
        assert_eq!(other_side.used, queue.addresses().used.raw());
        drop(registers);
        doorbell.ring(transport.mmio()).unwrap();
        assert_eq!(device.registers().notified, [0]);
        free_memory(queue, true);
    }
}

#[test]
fn device_that_never_resets_is_refused_in_bounded_time() {
    case!("NEG-01", Refuse);
    let rig = honest();
    rig.device.registers().faults.no_reset = true;
    let before = rig.machine.now();
    assert_eq!(rig.begin().unwrap_err(), TransportError::NoReset(0x0f));
    let took = rig.machine.now() - before;
    assert!(took <= rig.machine.frequency(), "given up within a second: {took} ticks");
}

#[test]
fn device_that_never_resets_is_refused_although_the_clock_stands_still() {
    case!("NEG-01", Refuse);
    case!("IRQ-06", Work);
    let rig = honest();
    rig.machine.set_clock_runs(false);
    rig.device.registers().faults.no_reset = true;
    assert_eq!(rig.begin().unwrap_err(), TransportError::NoReset(0x0f));
}

#[test]
fn removed_device_is_refused_at_once() {
    case!("CAP-14", Refuse);
    let rig = honest();
    rig.device.registers().faults.gone = true;
    assert_eq!(rig.begin().unwrap_err(), TransportError::Gone);
}

#[test]
fn refused_register_access_is_an_error() {
    case!("HC-01", Fail);
    let rig = honest();
    rig.device.registers().faults.mmio = Some(HcallError::Hardware);
    assert_eq!(rig.begin().unwrap_err(), TransportError::Mmio(HcallError::Hardware));
}

#[test]
fn legacy_device_is_refused_by_name() {
    case!("NEG-02", Refuse);
    let rig = rig(1 << 5, &[256]);
    let error = rig.negotiate().unwrap_err();
    assert_eq!(error, TransportError::NotModern(1 << 5));
    assert!(std::format!("{error}").contains("legacy"));
    assert_eq!(rig.status() & 0x80, 0x80, "FAILED");
}

#[test]
fn access_platform_is_accepted_whenever_offered() {
    case!("NEG-03b", Work);
    let rig = rig(VERSION_1 | ACCESS_PLATFORM, &[256]);
    assert!(rig.negotiate().unwrap().access_platform());
    assert_eq!(rig.device.registers().accepted, VERSION_1 | ACCESS_PLATFORM);
    assert!(!honest().negotiate().unwrap().access_platform());
}

#[test]
fn access_platform_that_is_offered_and_dropped_is_refused() {
    case!("NEG-03b", Refuse);
    let rig = rig(VERSION_1 | ACCESS_PLATFORM, &[256]);
    rig.device.registers().faults.dropped_features = ACCESS_PLATFORM;
    let refused = TransportError::FeaturesRefused(VERSION_1 | ACCESS_PLATFORM);
    assert_eq!(rig.negotiate().unwrap_err(), refused);
}

#[test]
fn features_ok_that_does_not_stay_is_refused() {
    case!("NEG-04", Refuse);
    let rig = honest();
    rig.device.registers().faults.no_features_ok = true;
    assert_eq!(rig.negotiate().unwrap_err(), TransportError::FeaturesRefused(VERSION_1));
    assert_eq!(rig.status() & 0x80, 0x80, "FAILED");
}

#[test]
fn device_that_offers_everything_gets_the_wanted_bits_only() {
    case!("NEG-05", Clamp);
    case!("RNG-16", Ignore);
    let rig = rig(u64::MAX, &[256]);
    let expected = WANTED | Features::VERSION_1 | Features::ACCESS_PLATFORM;
    assert_eq!(rig.negotiate().unwrap().features(), expected);
    assert_eq!(rig.device.registers().accepted, expected.bits());
}

#[test]
fn features_are_read_once() {
    case!("NEG-06", Ignore);
    let rig = rig(VERSION_1 | 1 << 5, &[256]);
    rig.device.registers().faults.second_features = Some(u64::MAX);
    let transport = rig.negotiate().unwrap();
    assert_eq!(transport.features().bits(), VERSION_1 | 1 << 5);
    // A bit that the device offers later changes nothing.
    rig.device.registers().offered = u64::MAX;
    assert!(!transport.access_platform());
}

#[test]
fn queue_size_zero_means_no_queue() {
    case!("NEG-08", Refuse);
    assert_eq!(rig(VERSION_1, &[0]).queue(256).unwrap_err(), TransportError::NoQueue(0));
    assert_eq!(rig(VERSION_1, &[]).queue(256).unwrap_err(), TransportError::NoQueue(0));
}

#[test]
fn queue_sizes_that_are_no_power_of_two_are_refused() {
    case!("NEG-08", Refuse);
    for size in [3, 100, 0x8001, 0xffff] {
        let refused = TransportError::QueueSize { queue: 0, size };
        assert_eq!(rig(VERSION_1, &[size]).queue(256).unwrap_err(), refused);
    }
}

#[test]
fn own_maximum_limits_large_queues_and_small_ones_stay() {
    case!("NEG-08", Clamp);
    for (offered, expected) in [(0x8000, 256), (256, 256), (128, 128), (1, 1)] {
        let rig = rig(VERSION_1, &[offered]);
        let (queue, _) = rig.queue(256).unwrap();
        assert_eq!(queue.size(), expected);
        assert_eq!(rig.device.registers().queues[0].size, expected);
    }
}

#[test]
fn queue_size_that_does_not_read_back_is_refused() {
    let rig = rig(VERSION_1, &[1024]);
    rig.device.registers().faults.stuck_size = true;
    assert_eq!(rig.queue(256).unwrap_err(), TransportError::QueueSize { queue: 0, size: 1024 });
}

#[test]
fn queue_in_use_before_set_up_is_refused() {
    case!("NEG-10", Refuse);
    let rig = honest();
    let mut transport = rig.negotiate().unwrap();
    rig.device.registers().queues[0].enable = 1;
    let queue = transport.queue::<_, ()>(0, 256, &rig.machine.dma(false));
    assert_eq!(queue.unwrap_err(), TransportError::QueueInUse(0));
}

#[test]
fn a_queue_that_stays_disabled_is_refused_and_its_memory_kept_until_a_reset() {
    let rig = honest();
    rig.device.registers().faults.no_enable = true;
    let dma = rig.machine.dma(false);
    let mut transport = rig.negotiate().unwrap();
    assert_eq!(transport.queue::<_, ()>(0, 256, &dma).unwrap_err(), TransportError::QueueNotTaken(0));
    assert_eq!(rig.machine.pieces_allocated(), 1);
    transport.reset(&rig.machine).unwrap();
    dma.reset_confirmed();
    assert_eq!(rig.machine.pieces_allocated(), 0);
}

#[test]
fn notification_outside_its_structure_is_refused() {
    for position in [0x400, 0xffff] {
        let rig = honest();
        rig.device.registers().queues[0].notify_off = position;
        let refused = TransportError::NotifyOutside { queue: 0, position };
        assert_eq!(rig.queue(256).unwrap_err(), refused);
    }
}

#[test]
fn configuration_fields_are_little_endian_and_bounded() {
    let mut transport = honest().negotiate().unwrap();
    let read = transport.config(|c| Ok((c.u8(1)?, c.u16(2)?, c.u32(4)?, c.u64(0)?))).unwrap();
    assert_eq!(read, (2, 0x0403, 0x0807_0605, 0x0807_0605_0403_0201));
    assert_eq!(transport.config(|c| c.u32(0xffd)), Err(TransportError::NoConfig(0xffd)));
    assert_eq!(transport.config(|c| c.u64(0xffc)), Err(TransportError::NoConfig(0x1000)));
    assert_eq!(transport.config(|c| c.u64(u32::MAX - 2)), Err(TransportError::NoConfig(u32::MAX - 2)));
}

#[test]
fn configuration_that_keeps_changing_is_given_up() {
    case!("NEG-12", Retry);
    let rig = honest();
    let mut transport = rig.negotiate().unwrap();
    rig.device.registers().faults.restless = true;
    let before = rig.device.registers().generation;
    assert_eq!(transport.config(|c| c.u64(0)), Err(TransportError::ConfigUnstable));
    assert!(rig.device.registers().generation.wrapping_sub(before) <= 17);
}

#[test]
fn configuration_change_is_seen_once() {
    let rig = honest();
    let mut transport = rig.negotiate().unwrap();
    transport.config(|c| c.u64(0)).unwrap();
    assert_eq!(transport.config_changed(), Ok(false));
    rig.device.registers().generation = 9;
    assert_eq!(transport.config_changed(), Ok(true));
    assert_eq!(transport.config_changed(), Ok(false));
}

#[test]
fn lost_devices_are_noticed() {
    case!("NEG-11", Break);
    case!("NEG-15", Break);
    let rig = honest();
    let mut transport = rig.negotiate().unwrap();
    transport.start().unwrap();
    assert_eq!(transport.alive(), Ok(()));
    rig.device.registers().faults.status_bits = 0x40;
    assert_eq!(transport.alive(), Err(TransportError::NeedsReset));
    rig.device.registers().faults.status_bits = 0;
    rig.device.registers().status = 0;
    assert_eq!(transport.alive(), Err(TransportError::StatusLost { set: 0x0f, found: 0 }));
    rig.device.registers().faults.gone = true;
    assert_eq!(transport.alive(), Err(TransportError::Gone));
}

#[test]
fn device_that_needs_a_reset_when_it_starts_is_refused() {
    let rig = honest();
    let mut transport = rig.negotiate().unwrap();
    rig.device.registers().faults.status_bits = 0x40;
    assert_eq!(transport.start(), Err(TransportError::NeedsReset));
}

#[test]
#[should_panic(expected = "outside the shared pool")]
fn address_outside_the_pool_ends_the_run() {
    let machine = Model::new(true);
    let dma = machine.dma(false);
    let mut queue = Queue::<_, ()>::new(&dma, 8).unwrap();
    let private =
        virtio_pci::virtio::ring::Descriptor { bus: bus_addr(0x1000), len: 16, device_writes: true };
    // SAFETY: the model's devices reach no memory of this process.
    let _ = unsafe { queue.stage(&[private]) };
}

#[test]
fn queue_memory_comes_back_or_stays_in_quarantine() {
    let machine = Model::new(false);
    let dma = machine.dma(false);
    free_memory(Queue::new(&dma, 256).unwrap(), true);
    assert_eq!(machine.pieces_allocated(), 0);
    free_memory(Queue::new(&dma, 256).unwrap(), false);
    assert_eq!(machine.pieces_allocated(), 1);
    Queue::<_, ()>::new(&dma, 256).unwrap().quarantine();
    drop(Queue::<_, ()>::new(&dma, 256).unwrap());
    assert_eq!(machine.pieces_allocated(), 3);
    dma.reset_confirmed();
    assert_eq!(machine.pieces_allocated(), 1, "what was dropped is kept for ever");
    let sizes: Vec<_> = [0, 3].into_iter().map(|size| Queue::<_, ()>::new(&dma, size).is_err()).collect();
    assert_eq!(sizes, [true, true]);
}

#[test]
fn vector_is_given_to_one_queue_and_no_other() {
    let rig = rig(VERSION_1, &[256, 256]);
    let transport = rig.begin().unwrap();
    assert_eq!(transport.use_vector(0), Ok(true));
    let vectors: Vec<u16> = rig.device.registers().queues.iter().map(|queue| queue.vector).collect();
    assert_eq!(vectors, [0, 0xffff]);
}

#[test]
fn a_device_that_refuses_its_vector_is_reported() {
    case!("MSX-02", Fallback);
    let rig = honest();
    rig.device.registers().faults.no_vector = true;
    assert_eq!(rig.begin().unwrap().use_vector(0), Ok(false));
    assert_eq!(rig.device.registers().queues[0].vector, 0xffff);
}
