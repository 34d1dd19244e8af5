//! Tests of `rtas::busy` with the model.

use core::time::Duration;
use papr::clock::Clock;
use papr::clock::duration;
use papr::rtas::RtasError;
use papr::rtas::busy::{StillBusy, TIMEOUT};
use postern_cases::case;
use testkit::model::Model;

const TOKEN: u32 = 0x2005;

/// Calls of a service that is busy so many times, and how long they took.
fn ask(vain: &StillBusy, machine: &Model, code: i32, busy: u32) -> (Result<(), RtasError>, u32, Duration) {
    let (mut calls, start) = (0, machine.now());
    let result = vain.ask(machine, TOKEN, || {
        calls += 1;
        if calls <= busy { Err(RtasError::Busy(code)) } else { Ok(()) }
    });
    (result, calls, duration(machine, machine.now() - start))
}

#[test]
fn service_that_stays_busy_is_called_with_pauses_until_the_timeout() {
    case!("RTA-08", Fail);
    for (code, most) in [(-2, 2002), (9900, 2002), (9901, 202), (9902, 22), (9903, 22), (9905, 22)] {
        let (result, calls, took) = ask(&StillBusy::new(), &Model::new(false), code, u32::MAX);
        assert_eq!(result, Err(RtasError::Busy(code)));
        assert!((most / 2..=most).contains(&calls), "{code}: {calls} calls");
        assert!(took >= TIMEOUT && took <= TIMEOUT + 2 * Duration::from_millis(100), "{code}: {took:?}");
    }
}

#[test]
fn service_that_timed_out_is_not_waited_for_again_until_it_answers() {
    case!("RTA-08", Fail);
    let (vain, machine) = (StillBusy::new(), Model::new(false));
    assert!(ask(&vain, &machine, -2, u32::MAX).1 > 1);
    let (again, calls, _) = ask(&vain, &machine, -2, u32::MAX);
    assert_eq!((again, calls), (Err(RtasError::Busy(-2)), 1));
    assert_eq!(vain.ask(&machine, TOKEN + 1, || Ok(())), Ok(()));
    assert_eq!(ask(&vain, &machine, -2, 1).1, 1, "another service has answered");
    assert_eq!(ask(&vain, &machine, -2, 0).0, Ok(()));
    assert_eq!((ask(&vain, &machine, -2, 3).0, ask(&vain, &machine, -2, 3).1), (Ok(()), 4));
}

#[test]
fn answer_that_is_not_busy_is_final() {
    for error in [RtasError::Hardware, RtasError::Unknown(9906), RtasError::Unknown(9899)] {
        let mut calls = 0;
        let result = StillBusy::new().ask(&Model::new(false), TOKEN, || {
            calls += 1;
            Err(error)
        });
        assert_eq!((result, calls), (Err(error), 1));
    }
}
