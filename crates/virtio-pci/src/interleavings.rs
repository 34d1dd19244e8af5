//! What a device, an interrupt or another CPU can do between any two steps of this kernel, tried in every order
//! that the memory model allows (loom). The code under test is the kernel's own, over memory and barriers that loom
//! watches; each test has twins with one step left out or turned round, which must be found out.

use crate::virtio::ring::{Descriptor, Layout, Ring, Used};
use core::mem;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;
use papr::addr::Gpa;
use papr::clock::Clock;
use papr::lock::Lock;
use papr::platform::{Barriers, DeviceMemory};
use postern_cases::case;
use postern_core::mailbox::{Arrival, Slot, next, post};
use std::collections::BTreeMap;
use svm_dma::dma::BusAddr;
use testkit::unchecked::bus_addr;

use watched::{Wrong, model};

const SIZE: u16 = 2;
const NO_NOTIFY: u64 = 1;
/// What the driver's one chain is: a buffer for the device to write.
const BUFFER: Descriptor = Descriptor { bus: bus_addr(0xb000), len: 64, device_writes: true };
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
        // As it begins.
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

/// A CPU's interrupt: pending from the moment it is raised until it is taken.
#[derive(Clone)]
struct Interrupt {
    pending: Arc<Mutex<bool>>,
    /// Nobody raises it any more.
    over: Arc<AtomicBool>,
}

impl Interrupt {
    fn new() -> Self {
        Self { pending: Arc::new(Mutex::new(false)), over: Arc::new(AtomicBool::new(false)) }
    }

    fn raise(&self) {
        *self.pending.lock().unwrap() = true;
    }

    fn raised_for_the_last_time(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// H_CEDE and what is done after it: sleeps until one is pending, and takes it. There is no timer here: to sleep
    /// when nobody raises it any more is to sleep for ever.
    fn cede(&self) {
        loop {
            let over = self.over.load(Ordering::Acquire);
            if mem::take(&mut *self.pending.lock().unwrap()) {
                return;
            }
            assert!(!over, "asleep for ever");
            thread::yield_now();
        }
    }

    /// A CPU that forgets what came before it slept.
    fn cede_from_now_on(&self) {
        *self.pending.lock().unwrap() = false;
        self.cede();
    }
}

fn layout() -> Layout {
    Layout::new(SIZE).unwrap()
}

/// The words in which each side names the index that it wants to hear of (virtio 1.2, 2.7.6 and 2.7.8).
fn used_event() -> usize {
    layout().available + 4 + 2 * usize::from(SIZE)
}

fn avail_event() -> usize {
    layout().used + 4 + 8 * usize::from(SIZE)
}

/// A ring with one chain that the device was not told of.
fn ring(memory: &Memory) -> Ring<Memory> {
    let mut ring = Ring::new(memory.clone(), SIZE).unwrap();
    ring.stage(&[BUFFER]).unwrap();
    ring
}

/// The driver publishes while the device goes to sleep: either the device sees the chain, whole, or it is notified.
fn publish_while_the_device_goes_to_sleep(machine: Machine, by_index: bool) {
    loom::model(move || {
        let memory = Memory::new();
        let Layout { descriptors, available, used, .. } = layout();
        let mut ring = Ring::new(memory.clone(), SIZE).unwrap();
        // What the device says where, as long as it polls.
        let (wish, polls) = if by_index { (avail_event(), 0xffff) } else { (used, NO_NOTIFY) };
        if by_index {
            ring.signal_by_index();
        }
        memory.set(wish, polls);
        let device = thread::spawn(move || {
            // It polled, and now wants to be notified; then it looks once more.
            memory.set(wish, 0u64);
            fence(Ordering::SeqCst);
            let seen = memory.get(available + 2) == 1;
            if seen {
                fence(Ordering::Acquire);
                let head = memory.get(available + 4);
                let descriptor = [memory.get(descriptors), memory.get(descriptors + 8)];
                assert_eq!((head, descriptor), (0, [BUFFER.bus.raw(), u64::from(BUFFER.len) | 2 << 32]));
            }
            seen
        });
        ring.stage(&[BUFFER]).unwrap();
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
    // The first completion, by its index, or any.
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
fn completion_between_the_look_and_the_sleep_ends_the_sleep() {
    for by_index in [false, true] {
        sleep_while_the_device_completes(RIGHT, Interrupt::cede, by_index);
    }
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn without_a_full_barrier_a_completion_is_slept_over() {
    sleep_while_the_device_completes(Machine { no_full: true, ..RIGHT }, Interrupt::cede, false);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn by_index_without_a_full_barrier_a_completion_is_slept_over() {
    sleep_while_the_device_completes(Machine { no_full: true, ..RIGHT }, Interrupt::cede, true);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn interrupt_that_is_not_kept_until_the_sleep_is_slept_over() {
    sleep_while_the_device_completes(RIGHT, Interrupt::cede_from_now_on, false);
}

#[test]
#[should_panic(expected = "left == right")]
fn without_a_read_barrier_an_entry_is_read_before_it_is_written() {
    sleep_while_the_device_completes(Machine { no_read: true, ..RIGHT }, Interrupt::cede, false);
}

/// A CPU that lets the others run while it waits for a lock.
pub(crate) struct Cpu(pub(crate) u64);

impl Clock for Cpu {
    fn now(&self) -> u64 {
        0
    }
    fn frequency(&self) -> u64 {
        1
    }
    fn relax(&self) {
        thread::yield_now();
    }
    fn here(&self) -> u64 {
        self.0
    }
}

/// How a value is handed to a CPU.
type Give = fn(&Slot<u8>, u8, &Interrupt);

fn give(mail: &Slot<u8>, value: u8, cpu: &Interrupt) {
    post(mail, &Cpu(1), value, || cpu.raise()).unwrap();
}

/// A CPU comes at the moment in which it is not waited for any longer.
fn arrival(miss: fn(&Arrival) -> bool) {
    model(Wrong::Nothing, move || {
        let arrival = Arc::new(Arrival::new());
        let other = {
            let arrival = arrival.clone();
            thread::spawn(move || arrival.arrive())
        };
        let missed = miss(&arrival);
        let let_in = other.join().unwrap();
        assert_eq!(let_in, !missed, "in, and counted as missing; or out, and counted");
        assert_eq!(let_in, arrival.is_here());
    });
}

#[test]
fn cpu_that_comes_at_the_last_moment_is_in_and_counted_or_neither() {
    case!("LCK-05", Ignore);
    arrival(Arrival::miss);
}

#[test]
#[should_panic(expected = "in, and counted as missing")]
fn look_that_does_not_close_the_door_lets_a_cpu_in_that_is_counted_as_missing() {
    arrival(|arrival| !arrival.is_here());
}

/// A parked CPU is woken for nothing, and then given work.
fn hand_over(give: Give, cede: fn(&Interrupt)) {
    model(Wrong::Nothing, move || {
        let mail = Arc::new(Lock::new("mail", None));
        let parked = Interrupt::new();
        let other = {
            let (mail, parked) = (mail.clone(), parked.clone());
            thread::spawn(move || {
                parked.raise();
                give(&mail, 7, &parked);
                parked.raised_for_the_last_time();
            })
        };
        let work = next(&mail, &Cpu(2), || {
            cede(&parked);
            true
        });
        assert_eq!(work, Some(7));
        other.join().unwrap();
    });
}

#[test]
fn work_handed_to_a_parked_cpu_is_found() {
    hand_over(give, Interrupt::cede);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn cpu_that_is_woken_before_its_work_is_there_sleeps_over_it() {
    let wake_first: Give = |mail, value, cpu| {
        cpu.raise();
        *mail.take(&Cpu(1)).unwrap() = Some(value);
    };
    hand_over(wake_first, Interrupt::cede);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn cpu_that_forgets_a_request_sleeps_over_its_work() {
    hand_over(give, Interrupt::cede_from_now_on);
}
