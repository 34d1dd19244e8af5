//! Locks that the kernel cannot do without: if a stopped CPU holds one, the run ends.

use crate::platform::power;
use crate::platform::pseries::Pseries;
use papr::lock::{Guard, Lock};
use postern_core::exit::ExitStatus;

/// Takes the lock, or ends the run with status 13. The wait has logged the reason.
pub fn or_end<T>(lock: &Lock<T>) -> Guard<'_, T> {
    lock.take(&Pseries).unwrap_or_else(|_| power::exit(ExitStatus::CpuStopped))
}
