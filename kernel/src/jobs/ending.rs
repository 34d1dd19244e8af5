//! How pieces of work end: counted, named when they failed, and which failure decides.

use crate::stop::Failed;
use alloc::vec::Vec;
use core::fmt::Display;
use postern_core::exit::ExitStatus;
use postern_core::outcome::Work;

/// Counts a piece of work, and says by whose name it failed.
pub fn ended<E: Failed>(work: &mut Work, whose: impl Display, result: Result<(), E>) {
    work.note(result.map_err(|error| {
        log::error!("{whose}: {error}");
        error.status()
    }));
}

/// All results, or the error that decides, once the others are named: wrong data before anything else.
///
/// # Errors
/// The failure that decides.
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
