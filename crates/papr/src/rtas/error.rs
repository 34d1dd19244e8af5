//! Why an RTAS call did not succeed: its status word, or why it was not made.

use super::service::Service;
use crate::lock::Stuck;
use thiserror::Error;

/// An RTAS call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtasError {
    /// The tree has no token for the service.
    #[error("no RTAS service {0}")]
    NotThere(&'static str),
    /// -1: hardware error.
    #[error("RTAS hardware error")]
    Hardware,
    /// -2, or 9900..=9905: still busy after every retry ([`super::busy`]).
    #[error("RTAS busy ({0})")]
    Busy(i32),
    /// -3: parameter error, or not supported.
    #[error("RTAS parameter error")]
    Parameter,
    /// -9002: not authorised.
    #[error("RTAS not authorized")]
    NotAuthorized,
    /// A status with no name here.
    #[error("unknown RTAS status {0}")]
    Unknown(i32),
    /// More words than [`super::MAX_WORDS`] or [`super::MOST_TOGETHER`]: a bug of the caller.
    #[error("{0} RTAS words")]
    TooManyWords(usize),
    /// Another number of arguments than the service takes: a bug of the caller. The call was not made.
    #[error("{} arguments for RTAS service {}", .1, .0.name())]
    Arguments(Service, usize),
    /// Another CPU does not release a lock that the call needs. The call was not made.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// More than 24 bits, so no number of an interrupt source or a server. The call was not made.
    #[error("{0:#x} is no interrupt source and no server")]
    NoSuchNumber(u32),
}

/// Validates the status, the first return word.
///
/// # Errors
/// Every status but 0, by its name.
pub fn judge(status: i32) -> Result<(), RtasError> {
    match status {
        0 => Ok(()),
        -1 => Err(RtasError::Hardware),
        busy @ (-2 | 9900..=9905) => Err(RtasError::Busy(busy)),
        -3 => Err(RtasError::Parameter),
        -9002 => Err(RtasError::NotAuthorized),
        other => Err(RtasError::Unknown(other)),
    }
}
