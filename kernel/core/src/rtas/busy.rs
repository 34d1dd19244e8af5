//! Services that answer "busy": they are asked again after a pause, for a while.
//!
//! Source: PAPR+ 7.2.8: after -2 a call may be repeated at once; 9900 to 9905 name the power of ten of milliseconds that
//! it is worth to wait.

use super::RtasError;
use crate::clock::{Clock, Deadline};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// How long a service is asked again.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// The shortest pause, and the one after -2.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest, whatever an answer proposes.
const LONGEST: Duration = Duration::from_millis(100);

/// The service that was asked in vain: it is not waited for again until it has answered otherwise.
#[derive(Debug)]
pub struct InVain(AtomicU32);

impl InVain {
    /// None; no service's token is 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Makes the call of the service with this token until it is answered otherwise than "busy", or [`PATIENCE`] is over.
    /// The CPU waits between two calls, and does not sleep: whoever calls may hold what taking an interrupt needs.
    ///
    /// # Errors
    /// The call's; [`RtasError::Busy`] when it stays so.
    pub fn ask(
        &self,
        clock: &impl Clock,
        token: u32,
        mut call: impl FnMut() -> Result<(), RtasError>,
    ) -> Result<(), RtasError> {
        let mut deadline = Deadline::after(clock, PATIENCE);
        loop {
            let answer = call();
            let Err(RtasError::Busy(code)) = answer else {
                // Another service's is left as it is.
                let _ = self.0.compare_exchange(token, 0, Ordering::Relaxed, Ordering::Relaxed);
                return answer;
            };
            if self.0.load(Ordering::Relaxed) == token {
                return answer;
            }
            if deadline.expired(clock) {
                self.0.store(token, Ordering::Relaxed);
                return answer;
            }
            let mut pause = Deadline::after(clock, pause(code));
            while !pause.expired(clock) {}
        }
    }
}

impl Default for InVain {
    fn default() -> Self {
        Self::new()
    }
}

/// The pause after a "busy" of this kind.
const fn pause(code: i32) -> Duration {
    match code {
        9901 => Duration::from_millis(10),
        9902..=9905 => LONGEST,
        _ => SHORTEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::duration;
    use crate::model::Model;
    use postern_cases::case;

    const TOKEN: u32 = 0x2005;

    /// Calls of a service that is busy so many times, and how long they took.
    fn ask(vain: &InVain, machine: &Model, code: i32, busy: u32) -> (Result<(), RtasError>, u32, Duration) {
        let (mut calls, start) = (0, machine.now());
        let result = vain.ask(machine, TOKEN, || {
            calls += 1;
            if calls <= busy { Err(RtasError::Busy(code)) } else { Ok(()) }
        });
        (result, calls, duration(machine, machine.now() - start))
    }

    #[test]
    fn service_that_stays_busy_is_asked_with_pauses_and_for_a_while() {
        case!("RTA-08", Fail);
        for (code, most) in [(-2, 2002), (9900, 2002), (9901, 202), (9902, 22), (9903, 22), (9905, 22)] {
            let (result, calls, took) = ask(&InVain::new(), &Model::new(false), code, u32::MAX);
            assert_eq!(result, Err(RtasError::Busy(code)));
            assert!((most / 2..=most).contains(&calls), "{code}: {calls} calls");
            assert!(took >= PATIENCE && took <= PATIENCE + 2 * LONGEST, "{code}: {took:?}");
        }
    }

    #[test]
    fn service_that_was_asked_in_vain_is_not_waited_for_again_until_it_answers() {
        case!("RTA-08", Fail);
        let (vain, machine) = (InVain::new(), Model::new(false));
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
            let result = InVain::new().ask(&Model::new(false), TOKEN, || {
                calls += 1;
                Err(error)
            });
            assert_eq!((result, calls), (Err(error), 1));
        }
    }
}
