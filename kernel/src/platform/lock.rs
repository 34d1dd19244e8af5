//! What a CPU does when what it cannot do without stays with a CPU that stands still.

use crate::platform::power;
use crate::platform::pseries::Pseries;
use papr::lock::{Guard, Lock};
use postern_core::exit::ExitStatus;

/// The lock; or the end of the run, of which the wait has already said why.
pub fn or_end<T>(lock: &Lock<T>) -> Guard<'_, T> {
    lock.take(&Pseries).unwrap_or_else(|_| power::exit(ExitStatus::CpuStopped))
}
