//! Dynamic DMA windows: a bridge's offer to map all of a normal guest's memory at once.
//!
//! A secure guest makes one for its pool alone: see `replace.rs`.

use super::table::Table;
use super::{TceError, TceFlags, WindowKind, WindowReport};
use core::fmt;
use papr::addr::{Gpa, GpaRange};
use papr::clock::Clock;
use papr::parts::cells;
use papr::platform::{Hypervisor, Rtas};
use papr::rtas::{RtasError, Service};
use thiserror::Error;

/// Page sizes by their bit in the answer of `ibm,query-pe-dma-window`, as log2 (PAPR+ 7.3.31.1; QEMU
/// `include/hw/ppc/spapr.h`), largest first.
const PAGE_SHIFTS: [(u32, u32); 9] = [
    (0x80, 34),
    (0x40, 28),
    (0x20, 27),
    (0x10, 26),
    (0x08, 25),
    (0x04, 24),
    (0x100, 21),
    (0x02, 16),
    (0x01, 12),
];

/// Entries put at most, each one hcall: 4 GiB of 64 KiB pages.
const MOST_ENTRIES: u64 = 1 << 16;

/// A bridge that may offer a dynamic window: its RTAS services are named in `ibm,ddw-applicable`.
#[derive(Clone, Copy)]
pub struct Ddw<'a> {
    /// The machine's RTAS services.
    pub rtas: &'a dyn Rtas,
    /// The bridge's unit identifier.
    pub buid: u64,
    /// Config address of the partitionable endpoint: bus in bits 23..16, device and function below.
    pub config_address: u32,
}

impl fmt::Debug for Ddw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ddw {{ buid: {:#x}, config_address: {:#x} }}", self.buid, self.config_address)
    }
}

/// Why there is no dynamic window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DdwError {
    /// `ibm,query-pe-dma-window` failed.
    #[error("ibm,query-pe-dma-window: {0}")]
    Query(RtasError),
    /// The bridge has no window left.
    #[error("the bridge has none left")]
    NoneLeft,
    /// No page size on offer maps this memory exactly with few enough entries.
    #[error("no page size of {mask:#x} fits, with {entries:#x} entries at most")]
    NoPageSize {
        /// Sizes on offer, as a mask.
        mask: u32,
        /// Entries that one window may have.
        entries: u32,
    },
    /// `ibm,create-pe-dma-window` failed.
    #[error("ibm,create-pe-dma-window: {0}")]
    Create(RtasError),
    /// The window it made wraps, or its base is not aligned to its pages.
    #[error("the window made at {0:#x} is malformed")]
    BadWindow(u64),
    /// The memory could not be mapped; the window was removed again, or not.
    #[error("{0}")]
    Map(TceError),
    /// There is no memory, or its end wraps.
    #[error("no memory to map")]
    BadMemory,
}

impl Ddw<'_> {
    /// Makes a window and maps each range of `ram` in it, at the window's base plus the range's own address. Returns
    /// the memory that the window spans, from address 0.
    ///
    /// # Safety
    /// This is an ordinary guest, which trusts its devices to write only where their drivers told them to.
    #[allow(unsafe_code, reason = "entries let devices at memory")]
    pub(super) unsafe fn map_all(
        &self,
        platform: &(impl Hypervisor + Clock),
        ram: &[GpaRange],
    ) -> Result<(GpaRange, WindowReport), DdwError> {
        let end = ram.iter().map(|range| range.end().0).max().filter(|end| *end > 0);
        let end = end.ok_or(DdwError::BadMemory)?;
        let page_shift = self.choose_page(ram, end)?;
        let span = end.checked_next_power_of_two().ok_or(DdwError::BadMemory)?;
        let (liobn, base) = self.create(page_shift, span.trailing_zeros()).map_err(DdwError::Create)?;

        let table = Table { liobn, page_shift };
        let mut pages_mapped = 0u64;
        let aligned = base.is_multiple_of(table.page_size());
        let mut outcome = match base.checked_add(span) {
            Some(_) if aligned => Ok(()),
            _ => Err(DdwError::BadWindow(base)),
        };
        for range in ram {
            let pages = range.len.wrapping_shr(page_shift);
            let both = TceFlags::READ | TceFlags::WRITE;
            outcome = outcome.and_then(|()| {
                let ioba = base.wrapping_add(range.start.0);
                // SAFETY: as the caller promises.
                unsafe { table.map(platform, ioba, range.start, pages, both, false) }.map_err(DdwError::Map)
            });
            pages_mapped = pages_mapped.saturating_add(pages);
        }
        if let Err(error) = outcome {
            if let Err(error) = self.remove(liobn) {
                log::warn!("ibm,remove-pe-dma-window {liobn:#x}: {error}");
            }
            return Err(error);
        }
        let report =
            WindowReport { liobn, base, size: span, page_shift, pages_mapped, kind: WindowKind::Direct };
        Ok((GpaRange { start: Gpa(0), len: end }, report))
    }

    /// The largest page on offer that starts and ends wherever a range of memory does.
    fn choose_page(&self, ram: &[GpaRange], end: u64) -> Result<u32, DdwError> {
        let [windows, entries, mask] = self.query().map_err(DdwError::Query)?;
        if windows == 0 {
            return Err(DdwError::NoneLeft);
        }
        let edges = ram.iter().fold(0, |bits, range| bits | range.start.0 | range.len);
        let most = u64::from(entries).min(MOST_ENTRIES);
        let fits = |(bit, shift): &(u32, u32)| {
            mask & bit != 0
                && edges.trailing_zeros() >= *shift
                && end.checked_next_power_of_two().is_some_and(|span| span.wrapping_shr(*shift) <= most)
        };
        let none = DdwError::NoPageSize { mask, entries };
        PAGE_SHIFTS.iter().find(|size| fits(size)).map(|(_, shift)| *shift).ok_or(none)
    }

    /// Windows left, entries that one may have, and page sizes as a mask.
    pub(super) fn query(&self) -> Result<[u32; 3], RtasError> {
        let [high, low] = self.unit();
        let mut answer = [0; 4];
        self.rtas.rtas(Service::QueryDmaWindow, &[self.config_address, high, low], &mut answer)?;
        let [windows, entries, mask, _migration] = answer;
        Ok([windows, entries, mask])
    }

    /// Makes a window of `2^window_shift` bytes; returns its number and first bus address.
    pub(super) fn create(&self, page_shift: u32, window_shift: u32) -> Result<(u32, u64), RtasError> {
        let [high, low] = self.unit();
        let args = [self.config_address, high, low, page_shift, window_shift];
        let mut answer = [0; 3];
        self.rtas.rtas(Service::CreateDmaWindow, &args, &mut answer)?;
        let [liobn, base_high, base_low] = answer;
        Ok((liobn, u64::from(base_high) << 32 | u64::from(base_low)))
    }

    /// Removes the window with this number.
    pub(super) fn remove(&self, liobn: u32) -> Result<(), RtasError> {
        self.rtas.rtas(Service::RemoveDmaWindow, &[liobn], &mut [])
    }

    /// Gives the bridge the windows that it had at boot, with nothing mapped in them: a kernel that ran before this one
    /// may have made others, and QEMU puts a new one over them.
    ///
    /// # Errors
    /// The service's answer, or that there is none.
    pub fn reset(&self) -> Result<(), RtasError> {
        let [high, low] = self.unit();
        self.rtas.rtas(Service::ResetDmaWindows, &[self.config_address, high, low], &mut [])
    }

    fn unit(&self) -> [u32; 2] {
        cells(self.buid)
    }
}
