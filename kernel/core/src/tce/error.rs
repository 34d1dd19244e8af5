//! Why a window could not be used.

use crate::hcall::HcallError;
use core::fmt;

/// What went wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapCause {
    /// H_PUT_TCE was refused.
    Put(HcallError),
    /// H_GET_TCE was refused.
    Get(HcallError),
    /// H_GET_TCE names another entry than was put.
    Differs {
        /// What was put.
        put: u64,
        /// What was read.
        got: u64,
    },
}

/// A window, or a mapping in it, that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TceError {
    /// `ibm,dma-window` has no whole page, is not aligned to pages, wraps, or is absurdly large.
    BadWindow {
        /// The table's number.
        liobn: u32,
        /// First bus address.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// The window has fewer bytes than the pool.
    TooSmall {
        /// Bytes of the pool.
        pool: u64,
        /// Bytes of the window.
        window: u64,
    },
    /// An entry could not be mapped; what had been mapped before it was cleared, or not.
    NotMapped {
        /// Bus address of the entry.
        ioba: u64,
        /// What went wrong.
        cause: MapCause,
        /// Whether all entries of the request are clear again.
        undone: bool,
    },
    /// H_STUFF_TCE was refused: entries may still be mapped.
    NotCleared {
        /// Bus address of the first such entry.
        ioba: u64,
        /// Why.
        error: HcallError,
    },
    /// H_GET_TCE was refused.
    NotRead {
        /// Bus address of the entry.
        ioba: u64,
        /// Why.
        error: HcallError,
    },
    /// The window has no run of that many free pages.
    NoRoom {
        /// Pages wanted.
        pages: u64,
        /// Pages free, in runs that may be shorter.
        free: u64,
    },
}

impl fmt::Display for MapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(error) => write!(f, "H_PUT_TCE: {error}"),
            Self::Get(error) => write!(f, "H_GET_TCE: {error}"),
            Self::Differs { put, got } => write!(f, "H_GET_TCE reads {got:#x} where {put:#x} was put"),
        }
    }
}

impl fmt::Display for TceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadWindow { liobn, base, size } => {
                write!(f, "TCE window {liobn:#x} at {base:#x}+{size:#x} is malformed")
            }
            Self::TooSmall { pool, window } => {
                write!(f, "TCE window of {window} bytes is smaller than the pool of {pool} bytes")
            }
            Self::NotMapped { ioba, cause, undone } => {
                let rest =
                    if *undone { "the mapping was undone" } else { "and the mapping could not be undone" };
                write!(f, "TCE at {ioba:#x} not mapped: {cause}; {rest}")
            }
            Self::NotCleared { ioba, error } => {
                write!(f, "TCEs from {ioba:#x} not cleared: H_STUFF_TCE: {error}")
            }
            Self::NotRead { ioba, error } => write!(f, "TCE at {ioba:#x} not read: H_GET_TCE: {error}"),
            Self::NoRoom { pages, free } => {
                write!(f, "TCE window has no {pages} free pages in a row ({free} free in all)")
            }
        }
    }
}

impl core::error::Error for TceError {}
