//! The CPU that takes a device's interrupt and the one that uses the device, in every order.

use super::{IrqSource, MISSED_MOST};
use loom::thread;
use papr::loom_sync::{Wrong, model};
use std::sync::Arc;

const TAKER: u32 = 3;

/// One CPU takes the first interrupt while another reads which CPU took it.
fn who_took_it(wrong: Wrong) {
    model(wrong, || {
        let line = Arc::new(IrqSource::message(0x1300));
        let taker = {
            let line = Arc::clone(&line);
            thread::spawn(move || line.arrived(TAKER))
        };
        if let Some(server) = line.taken_by() {
            assert_eq!(server, TAKER);
        }
        taker.join().unwrap();
        assert_eq!((line.arrivals(), line.taken_by()), (1, Some(TAKER)));
    });
}

#[test]
fn a_counted_interrupt_has_its_cpu() {
    who_took_it(Wrong::Nothing);
}

#[test]
#[should_panic(expected = "left == right")]
fn without_order_an_interrupt_is_counted_before_its_cpu_is_known() {
    who_took_it(Wrong::Unordered);
}

/// An interrupt arrives while the driver counts a miss, two misses before the limit: the count starts again.
fn arrival_beside_a_miss(wrong: Wrong) {
    model(wrong, || {
        let line = Arc::new(IrqSource::message(0x1300));
        let miss = || assert!(!line.missed(), "given up though it fired");
        for _ in 2..MISSED_MOST {
            miss();
        }
        let taker = {
            let line = Arc::clone(&line);
            thread::spawn(move || line.arrived(TAKER))
        };
        miss();
        taker.join().unwrap();
        // The miss beside the arrival may count as one after it.
        for _ in 2..MISSED_MOST {
            miss();
        }
    });
}

#[test]
fn interrupt_that_arrives_beside_a_miss_clears_the_count() {
    arrival_beside_a_miss(Wrong::Nothing);
}

#[test]
#[should_panic(expected = "given up though it fired")]
fn miss_that_is_added_in_two_steps_undoes_an_arrival() {
    arrival_beside_a_miss(Wrong::Separate);
}

/// What ends a pause.
type Resume = fn(&IrqSource);

/// The router gives a source up while the device's driver pauses it and goes on.
fn giving_up_beside_a_pause(resume: Resume) {
    model(Wrong::Nothing, move || {
        let line = Arc::new(IrqSource::message(0x1300));
        let router = {
            let line = Arc::clone(&line);
            thread::spawn(move || line.give_up())
        };
        line.pause(true);
        resume(&line);
        router.join().unwrap();
        assert_eq!(line.delivery(), super::Delivery::Poll, "relies on a masked source");
    });
}

#[test]
fn source_that_is_given_up_beside_a_pause_stays_so() {
    giving_up_beside_a_pause(|line| line.pause(false));
}

#[test]
#[should_panic(expected = "relies on a masked source")]
fn pause_that_ends_with_every_reason_to_poll_forgets_a_masked_source() {
    giving_up_beside_a_pause(|line| {
        line.pause(false);
        line.given_up.store(false, super::Ordering::Relaxed);
    });
}
