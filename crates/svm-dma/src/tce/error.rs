//! Why a window could not be used.

use core::fmt;
use papr::addr::FRAME_SIZE;
use papr::hcall::HcallError;
use papr::lock::Stuck;
use papr::rtas::RtasError;

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

/// Why no dynamic window took the place of the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaceCause {
    /// `ibm,create-pe-dma-window` failed.
    Create(RtasError),
    /// The window made at this bus address wraps, or its base is not aligned to its pages.
    BadWindow(u64),
}

impl fmt::Display for ReplaceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(error) => write!(f, "ibm,create-pe-dma-window: {error}"),
            Self::BadWindow(base) => write!(f, "the window made at {base:#x} is malformed"),
        }
    }
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
    /// H_STUFF_TCE said success, and H_GET_TCE reads an entry that still maps a page.
    StillMapped {
        /// Bus address of the entry.
        ioba: u64,
        /// The entry.
        tce: u64,
    },
    /// The default window was removed and is there all the same: entries in it can be read.
    NotRemoved {
        /// The table's number.
        liobn: u32,
    },
    /// The default window was removed, and no dynamic one took its place.
    NotReplaced(ReplaceCause),
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
    /// Another CPU stands still with the addresses of the window.
    Stuck(Stuck),
}

impl From<Stuck> for TceError {
    fn from(stuck: Stuck) -> Self {
        Self::Stuck(stuck)
    }
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
            Self::Stuck(stuck) => stuck.fmt(f),
            Self::BadWindow { liobn, base, size } => {
                write!(f, "TCE window {liobn:#x} at {base:#x}+{size:#x} is malformed")
            }
            Self::TooSmall { pool, window } => {
                let most = (window & !(FRAME_SIZE as u64).wrapping_sub(1)).wrapping_shr(10);
                write!(f, "TCE window of {window} bytes is smaller than the pool of {pool} bytes; ")?;
                write!(f, "the largest that it has room for is pool={most}K")
            }
            Self::NotMapped { ioba, cause, undone } => {
                let rest =
                    if *undone { "the mapping was undone" } else { "and the mapping could not be undone" };
                write!(f, "TCE at {ioba:#x} not mapped: {cause}; {rest}")
            }
            Self::NotCleared { ioba, error } => {
                write!(f, "TCEs from {ioba:#x} not cleared: H_STUFF_TCE: {error}")
            }
            Self::StillMapped { ioba, tce } => {
                write!(f, "TCE at {ioba:#x} reads {tce:#x} after H_STUFF_TCE cleared it")
            }
            Self::NotRemoved { liobn } => write!(f, "TCE window {liobn:#x} was removed and can be read"),
            Self::NotReplaced(cause) => {
                write!(f, "the default TCE window is removed, and no other made: {cause}")
            }
            Self::NotRead { ioba, error } => write!(f, "TCE at {ioba:#x} not read: H_GET_TCE: {error}"),
            Self::NoRoom { pages, free } => {
                write!(f, "TCE window has no {pages} free pages in a row ({free} free in all)")
            }
        }
    }
}

impl core::error::Error for TceError {}
