//! Why a window could not be used.

use papr::addr::FRAME_SIZE;
use papr::hcall::HcallError;
use papr::host_bridge::BadDmaWindow;
use papr::lock::Stuck;
use papr::rtas::RtasError;
use thiserror::Error;

/// What went wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MapCause {
    /// H_PUT_TCE failed.
    #[error("H_PUT_TCE: {0}")]
    Put(HcallError),
    /// H_GET_TCE failed.
    #[error("H_GET_TCE: {0}")]
    Get(HcallError),
    /// H_GET_TCE names another entry than was put.
    #[error("H_GET_TCE reads {got:#x} where {put:#x} was put")]
    Differs {
        /// The entry that was put.
        put: u64,
        /// The entry that was read back.
        got: u64,
    },
}

/// Why no dynamic window took the place of the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplaceCause {
    /// `ibm,create-pe-dma-window` failed.
    #[error("ibm,create-pe-dma-window: {0}")]
    Create(RtasError),
    /// The window made at this bus address wraps, or its base is not aligned to its pages.
    #[error("the window made at {0:#x} is malformed")]
    BadWindow(u64),
}

/// A window, or a mapping in it, that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TceError {
    /// Numbers that make no window.
    #[error(transparent)]
    BadWindow(#[from] BadDmaWindow),
    /// The window has fewer bytes than the pool.
    #[error("TCE window of {window} bytes is smaller than the pool of {pool} bytes; the largest that it has room for is pool={}K", largest_pool(*.window))]
    TooSmall {
        /// Size of the pool in bytes.
        pool: u64,
        /// Size of the window in bytes.
        window: u64,
    },
    /// An entry could not be mapped. The entries mapped before it were cleared again, as far as `undone` says.
    #[error("TCE at {ioba:#x} not mapped: {cause}; {}", after(*.undone))]
    NotMapped {
        /// Bus address of the entry.
        ioba: u64,
        /// What went wrong.
        cause: MapCause,
        /// Whether all entries of the request are clear again.
        undone: bool,
    },
    /// H_STUFF_TCE was refused: entries may still be mapped.
    #[error("TCEs from {ioba:#x} not cleared: H_STUFF_TCE: {error}")]
    NotCleared {
        /// Bus address of the first such entry.
        ioba: u64,
        /// The hypervisor's answer.
        error: HcallError,
    },
    /// H_STUFF_TCE said success, and H_GET_TCE reads an entry that still maps a page.
    #[error("TCE at {ioba:#x} reads {tce:#x} after H_STUFF_TCE cleared it")]
    StillMapped {
        /// Bus address of the entry.
        ioba: u64,
        /// The entry that was read.
        tce: u64,
    },
    /// The default window was removed and is there all the same: entries in it can be read.
    #[error("TCE window {liobn:#x} was removed and can be read")]
    NotRemoved {
        /// Number of the window's table.
        liobn: u32,
    },
    /// The default window was removed, and no dynamic one took its place.
    #[error("the default TCE window is removed, and no other made: {0}")]
    NotReplaced(ReplaceCause),
    /// H_GET_TCE failed.
    #[error("TCE at {ioba:#x} not read: H_GET_TCE: {error}")]
    NotRead {
        /// Bus address of the entry.
        ioba: u64,
        /// The hypervisor's answer.
        error: HcallError,
    },
    /// The window has no run of that many free pages.
    #[error("TCE window has no {pages} free pages in a row ({free} free in all)")]
    NoRoom {
        /// Pages that were asked for.
        pages: u64,
        /// Pages free, in runs that may be shorter.
        free: u64,
    },
    /// Another CPU does not release the lock of the window's addresses.
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

/// The largest `pool=`, in KiB, that a window of so many bytes has room for.
const fn largest_pool(window: u64) -> u64 {
    (window & !(FRAME_SIZE as u64).wrapping_sub(1)).wrapping_shr(10)
}

const fn after(undone: bool) -> &'static str {
    if undone { "the mapping was undone" } else { "and the mapping could not be undone" }
}
