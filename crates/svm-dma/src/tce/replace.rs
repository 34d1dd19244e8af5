//! A secure guest's window: one as small as the pool replaces the default one.
//!
//! The default window has 262,144 entries under QEMU, of which a pool needs 2,048; to read all of them back takes
//! longer than the rest of the boot. A window that is gone maps nothing, and the one made instead has few entries,
//! each of which is read. Linux removes the default window for its own reasons (`platforms/pseries/iommu.c`,
//! `enable_ddw`), so hypervisors know the sequence.
//!
//! The host chooses the numbers of the new window. They are used as arguments of TCE hcalls only, and only entries of
//! the pool are ever put.

use super::table::Table;
use super::{Ddw, DmaWindow, ReplaceCause, TceError};
use papr::clock::Clock;
use papr::host_bridge::DmaWindowSpec;
use papr::platform::Hypervisor;
use papr::rtas::RtasError;
use thiserror::Error;

/// Page sizes by their bit in the answer of `ibm,query-pe-dma-window`, as log2: the pool's frames, else the default
/// window's.
const PAGE_SHIFTS: [(u32, u32); 2] = [(0x02, 16), (0x01, 12)];

/// Why the default window was not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Kept {
    /// `ibm,query-pe-dma-window` failed.
    #[error("ibm,query-pe-dma-window: {0}")]
    Query(RtasError),
    /// No page size on offer suits the pool with few enough entries.
    #[error("no page size of {mask:#x} fits, with {entries:#x} entries at most")]
    NoPageSize {
        /// Sizes on offer, as a mask.
        mask: u32,
        /// Entries that one window may have.
        entries: u32,
    },
    /// `ibm,remove-pe-dma-window` failed.
    #[error("ibm,remove-pe-dma-window: {0}")]
    Remove(RtasError),
    /// The window with this number was removed, and its entries can still be read.
    #[error("{0:#x} can be read after it was removed")]
    Stays(u32),
    /// The default window is gone, and no other could be made: no device behind the bridge can be used.
    #[error("{0}")]
    Lost(TceError),
}

/// Removes the default window and makes one with room for `bytes` and for the page at bus address 0, which stays
/// unused.
pub(super) fn replace(
    ddw: &Ddw<'_>,
    platform: &(impl Hypervisor + Clock),
    default: DmaWindow,
    bytes: u64,
) -> Result<DmaWindow, Kept> {
    let [_, entries, mask] = ddw.query().map_err(Kept::Query)?;
    let none = Kept::NoPageSize { mask, entries };
    let fits = |&(bit, shift): &(u32, u32)| -> Option<(u32, u64)> {
        let size = bytes.checked_add(1 << shift)?.checked_next_power_of_two()?;
        (mask & bit != 0 && size >> shift <= entries.into()).then_some((shift, size))
    };
    let (page_shift, size) = PAGE_SHIFTS.iter().find_map(fits).ok_or(none)?;

    ddw.remove(default.liobn()).map_err(Kept::Remove)?;
    if answers(platform, &default, None) {
        return Err(Kept::Stays(default.liobn()));
    }
    let lost = |cause| Kept::Lost(TceError::NotReplaced(cause));
    let (liobn, base) =
        ddw.create(page_shift, size.trailing_zeros()).map_err(|error| lost(ReplaceCause::Create(error)))?;
    let spec = DmaWindowSpec::with_pages(liobn, base, size, page_shift);
    let window = DmaWindow::from(spec.map_err(|_| lost(ReplaceCause::BadWindow(base)))?);
    if answers(platform, &default, Some(&window)) {
        return Err(Kept::Lost(TceError::NotRemoved { liobn: default.liobn() }));
    }
    Ok(window)
}

/// Whether the first or the last entry of a window that was removed can be read. Hypervisors use its number and
/// addresses again, so entries of the new window do not count.
pub(super) fn answers(
    platform: &(impl Hypervisor + Clock),
    removed: &DmaWindow,
    new: Option<&DmaWindow>,
) -> bool {
    let table: Table = removed.table();
    let known = |ioba| new.is_some_and(|new| new.liobn() == removed.liobn() && new.has(ioba));
    [removed.base(), removed.last()].into_iter().any(|ioba| !known(ioba) && table.get(platform, ioba).is_ok())
}
