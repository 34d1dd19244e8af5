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
