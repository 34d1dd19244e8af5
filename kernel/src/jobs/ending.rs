//! Counts and logs how pieces of work end, and picks the failure that decides.

use crate::stop::Failed;
use alloc::vec::Vec;
use core::fmt::Display;
use postern_core::exit::ExitStatus;
use postern_core::outcome::Work;

/// Counts a piece of work. Logs a failure under the name `whose`.
pub fn ended<E: Failed>(work: &mut Work, whose: impl Display, result: Result<(), E>) {
    work.note(result.map_err(|error| {
        log::error!("{whose}: {error}");
        error.status()
    }));
}

/// All results, if there is no error. Logs every error but the one that decides.
///
/// # Errors
/// The error that decides: wrong data before anything else, else the first.
pub fn worst<T, E: Failed>(
    results: impl Iterator<Item = Result<T, E>>,
    whose: impl Display,
) -> Result<Vec<T>, E> {
    let (mut good, mut failed) = (Vec::new(), None::<E>);
    for result in results {
        match (result, failed.take()) {
            (Ok(one), before) => {
                good.push(one);
                failed = before;
            }
            (Err(error), None) => failed = Some(error),
            (Err(error), Some(before)) => {
                let worse = error.status() == ExitStatus::VerificationFailed;
                let (decides, other) = if worse { (error, before) } else { (before, error) };
                log::error!("{whose}: {other}");
                failed = Some(decides);
            }
        }
    }
    failed.map_or(Ok(good), Err)
}
