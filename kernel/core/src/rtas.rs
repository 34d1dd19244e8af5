//! RTAS calls: the status word, and the shape of a call. The argument block is the kernel's.
//!
//! Source: PAPR+ chapter 7; QEMU `hw/ppc/spapr_rtas.c`. After H_RTAS in a secure VM r3 still holds the
//! opcode, so only the first return word counts (ultravisor `svm/svm-rtas.c`).

use core::fmt;

/// Most argument words, and most return words, that a call of this kernel has.
pub const MAX_WORDS: usize = 8;

/// An RTAS call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtasError {
    /// The tree has no token for the service.
    NotThere(&'static str),
    /// -1: hardware error.
    Hardware,
    /// -2, or 9900..=9905: still busy after every retry.
    Busy(i32),
    /// -3: parameter error, or not supported.
    Parameter,
    /// -9002: not authorised.
    NotAuthorized,
    /// A status that is none of these.
    Unknown(i32),
    /// More words than [`MAX_WORDS`]: a mistake of the caller.
    TooManyWords(usize),
}

impl fmt::Display for RtasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere(name) => write!(f, "no RTAS service {name}"),
            Self::Hardware => f.write_str("RTAS hardware error"),
            Self::Busy(code) => write!(f, "RTAS busy ({code})"),
            Self::Parameter => f.write_str("RTAS parameter error"),
            Self::NotAuthorized => f.write_str("RTAS not authorized"),
            Self::Unknown(code) => write!(f, "unknown RTAS status {code}"),
            Self::TooManyWords(n) => write!(f, "{n} RTAS words"),
        }
    }
}

/// Judges the first return word.
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
