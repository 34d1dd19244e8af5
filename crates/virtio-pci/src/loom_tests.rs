//! The ring with a device and an interrupt, in every order that the memory model allows (loom). The code under test is
//! the ring's own, over memory and barriers of loom. Each test has twins with one step left out or exchanged, which must
//! fail.

use crate::virtio::ring::{Descriptor, Layout, Ring, Used};
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;
use papr::addr::Gpa;
use papr::loom_sync::Interrupt;
use papr::platform::{Barriers, DeviceMemory};
use std::collections::BTreeMap;
use testkit::unchecked::bus_addr;

const SIZE: u16 = 2;
const NO_NOTIFY: u64 = 1;
/// The driver's only chain: a buffer for the device to write.
fn buffer() -> Descriptor {
    Descriptor { bus: bus_addr(0xb000), len: 64, device_writes: true }
}

const WRITTEN: u32 = 48;

/// The memory of a ring: a word for each place that the ring or its device uses.
#[derive(Clone, Debug)]
struct Memory(std::sync::Arc<BTreeMap<usize, AtomicU64>>);

impl Memory {
    fn new() -> Self {
        let Layout { descriptors, available, used, total } = layout();
        let descriptors = (descriptors..available).step_by(8);
        let rings = (available..used).step_by(2).chain([used, used + 2]).chain((used + 4..total).step_by(4));
        Self(std::sync::Arc::new(descriptors.chain(rings).map(|at| (at, AtomicU64::new(0))).collect()))
    }

    fn get(&self, at: usize) -> u64 {
        self.0[&at].load(Ordering::Relaxed)
    }

    fn set(&self, at: usize, value: impl Into<u64>) {
        self.0[&at].store(value.into(), Ordering::Relaxed);
    }
}

// SAFETY: the bytes are this test's own, and each access is checked; no device is told of them.
#[allow(unsafe_code, reason = "a test keeps the promises of device memory")]
unsafe impl DeviceMemory for Memory {
    fn len(&self) -> usize {
        layout().total
    }
    fn gpa(&self) -> Gpa {
        Gpa(0)
    }
    fn part(&self, _: usize, _: usize) -> Option<Self> {
        None
    }
    fn read(&self, _: usize, _: &mut [u8]) {}
    fn write(&self, _: usize, _: &[u8]) {}
    fn zero(&self, _: usize, _: usize) {
        // The memory is zero from the start.
    }
    fn load16(&self, at: usize) -> u16 {
        self.get(at) as u16
    }
    fn load32(&self, at: usize) -> u32 {
        self.get(at) as u32
    }
    fn store16(&self, at: usize, value: u16) {
        self.set(at, value);
    }
    fn store32(&self, at: usize, value: u32) {
        self.set(at, value);
    }
    fn store64(&self, at: usize, value: u64) {
        self.set(at, value);
    }
}

/// The kernel's barriers, without those that are left out.
#[derive(Clone, Copy)]
struct Machine {
    no_write: bool,
    no_read: bool,
    no_full: bool,
}

const RIGHT: Machine = Machine { no_write: false, no_read: false, no_full: false };

// SAFETY: what is ordered is a model's memory, which holds no Rust object.
#[allow(unsafe_code, reason = "a model keeps the promises")]
unsafe impl Barriers for Machine {
    fn write_barrier(&self) {
        if !self.no_write {
            fence(Ordering::AcqRel);
        }
    }
    fn read_barrier(&self) {
        if !self.no_read {
            fence(Ordering::AcqRel);
        }
    }
    fn full_barrier(&self) {
        if !self.no_full {
            fence(Ordering::SeqCst);
        }
    }
}

fn layout() -> Layout {
    Layout::new(SIZE).unwrap()
}

/// The words in which each side names the index for which it wants a notification (virtio 1.2, 2.7.6 and 2.7.8).
fn used_event() -> usize {
    layout().available + 4 + 2 * usize::from(SIZE)
}

fn avail_event() -> usize {
    layout().used + 4 + 8 * usize::from(SIZE)
}

/// A ring with one chain that the device was not told of.
fn ring(memory: &Memory) -> Ring<Memory> {
    let mut ring = Ring::new(memory.clone(), SIZE).unwrap();
    ring.stage(&[buffer()]).unwrap();
    ring
}

/// The driver publishes while the device goes to sleep: either the device sees the chain, whole, or it is notified.
fn publish_while_the_device_goes_to_sleep(machine: Machine, by_index: bool) {
    loom::model(move || {
        let memory = Memory::new();
        let Layout { descriptors, available, used, .. } = layout();
        let mut ring = Ring::new(memory.clone(), SIZE).unwrap();
        // The device's word while it polls, and the word's address.
        let (wish, polls) = if by_index { (avail_event(), 0xffff) } else { (used, NO_NOTIFY) };
        if by_index {
            ring.signal_by_index();
        }
        memory.set(wish, polls);
        let device = thread::spawn(move || {
            // It polled, and now wants to be notified; then it reads the index once more.
            memory.set(wish, 0u64);
            fence(Ordering::SeqCst);
            let seen = memory.get(available + 2) == 1;
            if seen {
                fence(Ordering::Acquire);
                let head = memory.get(available + 4);
                let descriptor = [memory.get(descriptors), memory.get(descriptors + 8)];
                assert_eq!((head, descriptor), (0, [buffer().bus.raw(), u64::from(buffer().len) | 2 << 32]));
            }
            seen
        });
        ring.stage(&[buffer()]).unwrap();
        let notified = ring.publish(&machine);
        assert!(device.join().unwrap() || notified, "the device sleeps and has not seen the chain");
    });
}

#[test]
fn device_that_goes_to_sleep_sees_the_chain_or_is_notified() {
    for by_index in [false, true] {
        publish_while_the_device_goes_to_sleep(RIGHT, by_index);
    }
}

#[test]
#[should_panic(expected = "the device sleeps")]
fn without_a_full_barrier_a_notification_is_lost() {
    publish_while_the_device_goes_to_sleep(Machine { no_full: true, ..RIGHT }, false);
}

#[test]
#[should_panic(expected = "the device sleeps")]
fn by_index_without_a_full_barrier_a_notification_is_lost() {
    publish_while_the_device_goes_to_sleep(Machine { no_full: true, ..RIGHT }, true);
}

#[test]
#[should_panic(expected = "left == right")]
fn without_a_write_barrier_the_device_sees_half_a_chain() {
    publish_while_the_device_goes_to_sleep(Machine { no_write: true, ..RIGHT }, false);
}

/// What a device does to complete the first chain: entry, index, and an interrupt if one is wanted.
fn complete(memory: &Memory, interrupt: &Interrupt, by_index: bool) {
    let Layout { available, used, .. } = layout();
    memory.set(used + 4, 0u64);
    memory.set(used + 8, WRITTEN);
    fence(Ordering::Release);
    memory.set(used + 2, 1u64);
    fence(Ordering::SeqCst);
    // An interrupt is wanted: for the first completion, by its index, or for any.
    if memory.get(if by_index { used_event() } else { available }) == 0 {
        interrupt.raise();
    }
}

/// The driver asks for an interrupt and sleeps while the device completes: the completion is found, whole.
fn sleep_while_the_device_completes(machine: Machine, cede: fn(&Interrupt), by_index: bool) {
    loom::model(move || {
        let memory = Memory::new();
        let mut ring = ring(&memory);
        if by_index {
            ring.signal_by_index();
        }
        ring.publish(&RIGHT);
        let interrupt = Interrupt::new();
        let device = {
            let interrupt = interrupt.clone();
            thread::spawn(move || {
                complete(&memory, &interrupt, by_index);
                interrupt.raised_for_the_last_time();
            })
        };
        let used = loop {
            if let Some(used) = ring.take(&machine).unwrap() {
                break used;
            }
            if !ring.arm(&machine) {
                cede(&interrupt);
            }
            ring.disarm();
        };
        assert_eq!(used, Used { head: 0, written: WRITTEN });
        device.join().unwrap();
    });
}

#[test]
fn completion_between_the_last_poll_and_the_sleep_ends_the_sleep() {
    for by_index in [false, true] {
        sleep_while_the_device_completes(RIGHT, Interrupt::cede, by_index);
    }
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn without_a_full_barrier_a_completion_is_missed() {
    sleep_while_the_device_completes(Machine { no_full: true, ..RIGHT }, Interrupt::cede, false);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn by_index_without_a_full_barrier_a_completion_is_missed() {
    sleep_while_the_device_completes(Machine { no_full: true, ..RIGHT }, Interrupt::cede, true);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn an_interrupt_that_is_not_kept_until_the_sleep_is_missed() {
    sleep_while_the_device_completes(RIGHT, Interrupt::cede_from_now_on, false);
}

#[test]
#[should_panic(expected = "left == right")]
fn without_a_read_barrier_an_entry_is_read_before_it_is_written() {
    sleep_while_the_device_completes(Machine { no_read: true, ..RIGHT }, Interrupt::cede, false);
}
