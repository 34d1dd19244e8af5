//! The queues of one disk on several CPUs, in every order.

use super::{Control, End};
use crate::blk::abilities::Abilities;
use crate::blk::error::BreakReason;
use crate::blk::geometry::read_capacity;
use crate::virtio::regions::Regions;
use crate::virtio::registers::Common;
use crate::virtio::transport::Transport;
use core::sync::atomic::{AtomicU64, Ordering};
use loom::sync::Mutex;
use loom::thread;
use papr::addr::Gpa;
use papr::clock::Clock;
use papr::hcall::HcallError;
use papr::loom_sync::{Wrong, model};
use papr::registers::Mmio;
use papr::registers::Register;
use std::sync::Arc;
use svm_dma::dma::DeviceId;

const ID: DeviceId = DeviceId::from_routing(0, 8);
/// Capacities that differ in both halves.
const BEFORE: u64 = 0x1_0000_0001;
const AFTER: u64 = 0x2_0000_0002;
const STATUS: u64 = Common::Status.register().0 as u64;
const GENERATION: u64 = Common::ConfigGeneration.register().0 as u64;

/// Where the disk's registers are.
fn regions() -> Regions {
    let region = |n: u64| testkit::unchecked::registers(Gpa(0x2100_0000_0000 + n * 0x1000), 0x1000);
    Regions {
        common: region(0),
        notify: region(3),
        notify_multiplier: 4,
        isr: Some(region(1)),
        device: Some(region(2)),
    }
}

/// A disk's registers; each access is a step.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<Registers>>);

#[derive(Debug, Default)]
struct Registers {
    status: u64,
    generation: u64,
    capacity: u64,
    /// Resets that the driver asked for, and how many of those to come are not done.
    resets: u32,
    ignored: u32,
}

impl Disk {
    fn grow(&self) {
        let mut registers = self.0.lock().unwrap();
        registers.generation += 1;
        registers.capacity = AFTER;
    }

    fn resets(&self) -> u32 {
        self.0.lock().unwrap().resets
    }
}

// SAFETY: the registers are a model's, whose device reaches no memory of this process.
#[allow(unsafe_code, reason = "a model keeps the promises")]
unsafe impl Mmio for Disk {
    fn load(&self, register: Register) -> Result<u64, HcallError> {
        let at = register.gpa();
        let registers = self.0.lock().unwrap();
        let (common, device) = (regions().common.gpa().0, regions().device.unwrap().gpa().0);
        Ok(match at.0 {
            at if at == common + STATUS => registers.status,
            at if at == common + GENERATION => registers.generation,
            at if at == device => registers.capacity & 0xffff_ffff,
            at if at == device + 4 => registers.capacity >> 32,
            _ => panic!("an unexpected register: {at:?}"),
        })
    }

    fn store(&self, register: Register, value: u64) -> Result<(), HcallError> {
        let at = register.gpa();
        let mut registers = self.0.lock().unwrap();
        assert_eq!(at.0, regions().common.gpa().0 + STATUS);
        if value == 0 {
            registers.resets += 1;
        }
        if value != 0 || registers.ignored == 0 {
            registers.status = value;
        } else {
            registers.ignored -= 1;
        }
        Ok(())
    }
}

/// A tenth of a second passes with each read.
struct Fast(AtomicU64);

impl Clock for Fast {
    fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
    fn frequency(&self) -> u64 {
        10
    }
    fn relax(&self) {
        thread::yield_now();
    }
}

fn clock() -> Fast {
    Fast(AtomicU64::new(0))
}

/// A disk that is in use, and has been reset once.
fn control() -> (Disk, Arc<Control<Disk>>) {
    let registers = Registers { capacity: BEFORE, ..Registers::default() };
    let disk = Disk(Arc::new(Mutex::new(registers)));
    let transport = Transport::begin(disk.clone(), regions(), &clock()).unwrap();
    (disk, Arc::new(Control::new(transport, BEFORE, Abilities::default())))
}

fn violation() -> BreakReason {
    BreakReason::Timeout
}

/// How a queue ends the use of the disk.
type Finish = fn(&Control<Disk>, BreakReason) -> End;

fn finish(control: &Control<Disk>, reason: BreakReason) -> End {
    control.end(reason, ID, &clock())
}

/// One queue ends the use of the disk; another one notices, and gives up as well.
fn end_that_is_noticed(finish: Finish) {
    model(Wrong::Nothing, move || {
        let (_, control) = control();
        let other = {
            let control = Arc::clone(&control);
            thread::spawn(move || finish(&control, violation()))
        };
        if control.has_ended() {
            let end = control.end(BreakReason::Stopped, ID, &clock());
            assert_eq!(end.reason, violation(), "the reason of the end that was noticed");
        }
        other.join().unwrap();
        assert!(control.has_ended(), "not noticed");
    });
}

#[test]
fn queue_that_notices_the_end_learns_its_reason() {
    end_that_is_noticed(finish);
}

#[test]
#[should_panic(expected = "the reason of the end that was noticed")]
fn a_hint_before_the_end_loses_the_reason() {
    end_that_is_noticed(|control, reason| {
        control.ended.store(true, Ordering::Relaxed);
        finish(control, reason)
    });
}

#[test]
#[should_panic(expected = "not noticed")]
fn end_without_a_hint_is_not_noticed() {
    end_that_is_noticed(|control, reason| {
        let end = finish(control, reason);
        control.ended.store(false, Ordering::Relaxed);
        end
    });
}

/// Two queues end the use of the disk at once, each for a reason of its own.
fn end_at_two_queues(finish: Finish) {
    model(Wrong::Nothing, move || {
        let (disk, control) = control();
        let before = disk.resets();
        let other = {
            let control = Arc::clone(&control);
            thread::spawn(move || finish(&control, violation()))
        };
        let mine = finish(&control, BreakReason::Stopped);
        let other = other.join().unwrap();
        assert_eq!(mine.reason, other.reason, "two ends of one disk");
        assert_eq!(disk.resets() - before, 1, "resets");
    });
}

#[test]
fn two_queues_end_a_disk_once_and_for_one_reason() {
    end_at_two_queues(finish);
}

#[test]
#[should_panic(expected = "two ends of one disk")]
fn a_lock_released_between_check_and_end_makes_two_ends() {
    end_at_two_queues(|control, reason| {
        let known = control.registers.take(&clock()).unwrap().end;
        if let Some(end) = known {
            return end;
        }
        let reset_confirmed = control.registers.take(&clock()).unwrap().transport.reset(&clock()).is_ok();
        let end = End { reason, reset_confirmed };
        control.registers.take(&clock()).unwrap().end = Some(end);
        end
    });
}

/// How a queue tries the reset once more.
type Retry = fn(&Control<Disk>) -> bool;

/// Two queues try the reset of a disk once more, which has not confirmed the first and confirms the next. What is
/// confirmed is not done again: a queue may have begun anew by then.
fn reset_at_two_queues(retry: Retry) {
    model(Wrong::Nothing, move || {
        let (disk, control) = control();
        disk.0.lock().unwrap().ignored = 1;
        assert!(!finish(&control, violation()).reset_confirmed);
        let before = disk.resets();
        let other = {
            let control = Arc::clone(&control);
            thread::spawn(move || retry(&control))
        };
        let confirmed = [retry(&control), other.join().unwrap()];
        assert_eq!((confirmed, disk.resets() - before), ([true; 2], 1));
    });
}

#[test]
fn reset_that_is_confirmed_to_one_queue_is_confirmed_to_all() {
    reset_at_two_queues(|control| control.retry_reset(&clock()));
}

#[test]
#[should_panic(expected = "left == right")]
fn a_lock_released_before_the_reset_resets_twice() {
    reset_at_two_queues(|control| {
        let confirmed = control.registers.take(&clock()).unwrap().end.is_some_and(|end| end.reset_confirmed);
        confirmed || control.registers.take(&clock()).unwrap().transport.reset(&clock()).is_ok()
    });
}

/// How a queue checks the disk's health.
type Check = fn(&Control<Disk>);

fn check(control: &Control<Disk>) {
    control.check_health(&clock()).unwrap();
}

/// The disk grows; the queue that is notified checks the disk, and another one does so at the same time.
fn growth_at_two_queues(wrong: Wrong, check: Check) {
    model(wrong, move || {
        let (disk, control) = control();
        disk.0.lock().unwrap().generation += 1;
        let other = {
            let control = Arc::clone(&control);
            thread::spawn(move || check(&control))
        };
        disk.grow();
        check(&control);
        other.join().unwrap();
        assert_eq!(control.capacity(), AFTER, "an old capacity came last");
    });
}

#[test]
fn the_last_capacity_of_a_disk_stays() {
    growth_at_two_queues(Wrong::Nothing, check);
}

#[test]
#[should_panic(expected = "an old capacity came last")]
fn capacity_that_is_stored_without_the_lock_may_be_an_old_one() {
    growth_at_two_queues(Wrong::Nothing, |control| {
        let mut registers = control.registers.take(&clock()).unwrap();
        let changed = registers.transport.config_changed().unwrap();
        let capacity = read_capacity(&mut registers.transport).unwrap();
        drop(registers);
        if changed {
            control.capacity.store(capacity, Ordering::Relaxed);
        }
    });
}

/// A request is checked against the capacity while the disk grows.
fn capacity_while_it_grows(wrong: Wrong) {
    model(wrong, || {
        let (disk, control) = control();
        disk.grow();
        let other = {
            let control = Arc::clone(&control);
            thread::spawn(move || check(&control))
        };
        let seen = control.capacity();
        assert!([BEFORE, AFTER].contains(&seen), "half a capacity: {seen:#x}");
        other.join().unwrap();
    });
}

#[test]
fn capacity_is_one_that_the_disk_had() {
    capacity_while_it_grows(Wrong::Nothing);
}

#[test]
#[should_panic(expected = "half a capacity")]
fn capacity_that_is_stored_by_halves_is_one_that_no_disk_had() {
    capacity_while_it_grows(Wrong::Halved);
}
