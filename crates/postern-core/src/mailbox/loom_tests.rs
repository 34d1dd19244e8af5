//! A CPU that comes too late, and work that is handed to a CPU that goes to sleep, in every order.

use super::{Arrival, Slot, recv, send};
use loom::sync::Arc;
use loom::thread;
use papr::lock::Lock;
use papr::loom_sync::{Cpu, Interrupt, Wrong, model};
use postern_cases::case;

/// How a value is handed to a CPU.
type Give = fn(&Slot<u8>, u8, &Interrupt);

fn give(mail: &Slot<u8>, value: u8, cpu: &Interrupt) {
    send(mail, &Cpu(1), value, || cpu.raise()).unwrap();
}

/// A CPU arrives at the moment at which the wait for it ends.
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
fn cpu_that_arrives_at_the_last_moment_is_admitted_or_counted_as_missing() {
    case!("LCK-05", Ignore);
    arrival(Arrival::miss);
}

#[test]
#[should_panic(expected = "in, and counted as missing")]
fn a_check_that_does_not_end_the_wait_admits_a_cpu_counted_as_missing() {
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
        let work = recv(&mail, &Cpu(2), || {
            cede(&parked);
            true
        });
        assert_eq!(work, Ok(Some(7)));
        other.join().unwrap();
    });
}

#[test]
fn work_handed_to_a_parked_cpu_is_found() {
    hand_over(give, Interrupt::cede);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn cpu_that_is_woken_before_its_work_is_sent_misses_it() {
    let wake_first: Give = |mail, value, cpu| {
        cpu.raise();
        *mail.take(&Cpu(1)).unwrap() = Some(value);
    };
    hand_over(wake_first, Interrupt::cede);
}

#[test]
#[should_panic(expected = "asleep for ever")]
fn cpu_that_forgets_an_interrupt_misses_its_work() {
    hand_over(give, Interrupt::cede_from_now_on);
}
