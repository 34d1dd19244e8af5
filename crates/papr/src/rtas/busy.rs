//! Services that answer "busy": the kernel repeats the call after a pause, within a time limit.
//!
//! Source: PAPR+ 7.2.8: after -2 a call may be repeated at once; 9900 to 9905 propose a pause of 1 ms to 100 s, by
//! powers of ten.

use super::RtasError;
use crate::clock::{Clock, Deadline};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// How long a busy call is repeated.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest pause, and the one after -2.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest pause, whatever the answer proposes.
const LONGEST: Duration = Duration::from_millis(100);

/// The service whose call timed out as busy. It gets one call and no wait until it answers otherwise.
#[derive(Debug)]
pub struct StillBusy(AtomicU32);

impl StillBusy {
    /// No service: no token is 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Repeats `call`, of the service with this token, until the answer is not "busy" or [`TIMEOUT`] is over. The CPU
    /// polls the clock between two calls instead of sleeping: the caller may hold a lock that interrupt handling needs.
    ///
    /// # Errors
    /// The call's error; [`RtasError::Busy`] if it stays busy.
    pub fn ask(
        &self,
        clock: &impl Clock,
        token: u32,
        mut call: impl FnMut() -> Result<(), RtasError>,
    ) -> Result<(), RtasError> {
        let mut deadline = Deadline::after(clock, TIMEOUT);
        loop {
            let answer = call();
            let Err(RtasError::Busy(code)) = answer else {
                // Leaves the entry of another service alone.
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

impl Default for StillBusy {
    fn default() -> Self {
        Self::new()
    }
}

/// The pause after this busy status.
const fn pause(code: i32) -> Duration {
    match code {
        9901 => Duration::from_millis(10),
        9902..=9905 => LONGEST,
        _ => SHORTEST,
    }
}
