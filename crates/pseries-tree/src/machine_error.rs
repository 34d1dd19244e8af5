//! Why a tree that is well-formed describes no machine that can be run.

use alloc::boxed::Box;
use papr::text::HostText;
use thiserror::Error;

/// Why a tree that is well-formed describes no machine that can be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MachineError {
    /// The tree describes no usable memory.
    #[error("device tree describes no usable memory")]
    NoMemory,
    /// The lowest memory starts here, but the exception vectors are at 0.
    #[error("device tree describes no memory at 0, where vectors lie, but from {0:#x} on")]
    NoMemoryAtZero(u64),
    /// The tree describes no processor.
    #[error("device tree describes no processor")]
    NoCpu,
    /// The boot processor's timebase frequency is missing or 0.
    #[error("device tree gives no timebase frequency")]
    NoTimebase,
    /// A timebase frequency, in Hz, that no machine has.
    #[error("device tree gives a timebase frequency of {0} Hz")]
    Timebase(u64),
    /// More reservations than can be kept, and none may be ignored.
    #[error("device tree reserves more than {0} ranges")]
    TooManyReservations(usize),
    /// A child of `/reserved-memory` whose `reg` cannot be read, so that it cannot be honoured.
    #[error("device tree has an unreadable /reserved-memory node")]
    MalformedReservation,
    /// The RTAS tokens are ambiguous.
    #[error("{0}")]
    Rtas(Box<TokenError>),
    /// Several nodes of this name below the root: an ultravisor may read a different one.
    #[error("device tree has several /{0} nodes")]
    SeveralNodes(&'static str),
    /// Several properties of this name in `/chosen`: an ultravisor may measure a different one.
    #[error("device tree has several /chosen/{0}")]
    SeveralProperties(&'static str),
}

/// Why the tokens of a tree are ambiguous.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// A service with token 0.
    #[error("RTAS service {0} has token 0")]
    Zero(HostText),
    /// A service whose token is not one word.
    #[error("RTAS service {0} has a token that is not one word")]
    NotOneWord(HostText),
    /// Two services with one token.
    #[error("RTAS services {0} and {1} have one token, {2:#x}")]
    Shared(HostText, HostText, u32),
    /// A service with a token that the kernel uses to end a run.
    #[error("RTAS service {0} has the token of an exit, {1:#x}")]
    Reserved(HostText, u32),
    /// More services than can be compared.
    #[error("more than {0} RTAS services")]
    TooMany(usize),
}
