//! A window that maps each buffer only while it is lent: a normal guest's default window.

use super::table::Table;
use super::{DmaWindow, TceError, TceFlags};
use alloc::vec;
use alloc::vec::Vec;
use papr::addr::Gpa;
use papr::clock::Clock;
use papr::lock::Lock;
use papr::platform::Hypervisor;

/// Most pages of a window that are used: 1 GiB of 4 KiB pages. The rest of a larger window stays unused.
const MOST_PAGES: u64 = 1 << 18;

/// A run of bus pages in use.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "bus pages that are dropped are never used again"]
pub struct Iova {
    first: u64,
    pages: u64,
}

/// Free and used bus pages, one bit each, searched from where the last search ended.
#[derive(Debug)]
struct Pages {
    used: Vec<u64>,
    count: u64,
    free: u64,
    next: u64,
}

/// A window and its free bus pages.
#[derive(Debug)]
pub struct OnDemand {
    window: DmaWindow,
    pages: Lock<Pages>,
}

impl Pages {
    fn new(count: u64) -> Self {
        let words = usize::try_from(count.div_ceil(64)).unwrap_or(0);
        Self { used: vec![0; words], count, free: count, next: 0 }
    }

    fn word(&self, page: u64) -> u64 {
        let index = usize::try_from(page / 64).unwrap_or(usize::MAX);
        self.used.get(index).copied().unwrap_or(u64::MAX)
    }

    fn find(&self, from: u64, wanted: u64) -> Option<u64> {
        let mut run = 0u64;
        let mut page = from;
        while page < self.count {
            let word = self.word(page);
            if word == u64::MAX {
                run = 0;
                page = (page | 63).saturating_add(1);
                continue;
            }
            run = if word & bit(page) == 0 { run.saturating_add(1) } else { 0 };
            page = page.saturating_add(1);
            if run == wanted {
                return page.checked_sub(wanted);
            }
        }
        None
    }

    fn allocate(&mut self, wanted: u64) -> Result<Iova, TceError> {
        let first = self.find(self.next, wanted).or_else(|| self.find(0, wanted));
        let first = first.ok_or(TceError::NoRoom { pages: wanted, free: self.free })?;
        self.set(first, wanted, true);
        self.free = self.free.saturating_sub(wanted);
        self.next = first.saturating_add(wanted);
        Ok(Iova { first, pages: wanted })
    }

    fn free(&mut self, iova: &Iova) {
        self.set(iova.first, iova.pages, false);
        self.free = self.free.saturating_add(iova.pages);
    }

    fn set(&mut self, first: u64, pages: u64, used: bool) {
        for page in first..first.saturating_add(pages) {
            let index = usize::try_from(page / 64).unwrap_or(usize::MAX);
            if let Some(word) = self.used.get_mut(index) {
                if used {
                    *word |= bit(page);
                } else {
                    *word &= !bit(page);
                }
            }
        }
    }
}

impl OnDemand {
    /// # Safety
    /// This is an ordinary guest, which trusts its devices to write only where their drivers told them to.
    #[allow(unsafe_code, reason = "only the caller knows whose devices these are")]
    pub(super) unsafe fn new(window: DmaWindow) -> Self {
        let count = window.pages().min(MOST_PAGES);
        Self { window, pages: Lock::new("addresses of the TCE window", Pages::new(count)) }
    }

    /// Bus address of the first page that is used, and bytes from there on.
    pub(crate) fn span(&self) -> (u64, u64) {
        (self.window.base(), self.window.size())
    }

    /// Maps the pages that hold `[gpa, gpa + len)` and returns the bus address of `gpa`.
    ///
    /// # Errors
    /// No room, or the hypervisor's error.
    ///
    /// # Safety
    /// A device may read or write the pages, as `flags` say, until the entries are closed.
    #[allow(unsafe_code, reason = "entries let devices at memory")]
    pub unsafe fn open(
        &self,
        platform: &(impl Hypervisor + Clock),
        gpa: Gpa,
        len: usize,
        flags: TceFlags,
    ) -> Result<(u64, Iova), TceError> {
        let table = self.table();
        let inside = gpa.0 & table.page_size().wrapping_sub(1);
        let pages = inside.saturating_add(len as u64).div_ceil(table.page_size());
        let iova = self.pages.take(platform)?.allocate(pages)?;
        let ioba = self.ioba(&iova);
        let first = Gpa(gpa.0.wrapping_sub(inside));
        // SAFETY: as the caller promises.
        match unsafe { table.map(platform, ioba, first, pages, flags, false) } {
            Ok(()) => Ok((ioba.wrapping_add(inside), iova)),
            Err(error) => {
                // Pages that may still be mapped are never used again.
                if matches!(error, TceError::NotMapped { undone: true, .. }) {
                    self.reuse(platform, iova);
                }
                Err(error)
            }
        }
    }

    /// Clears the entries of a mapping.
    ///
    /// # Errors
    /// The hypervisor's error; the device may still reach the pages.
    pub fn close(&self, platform: &(impl Hypervisor + Clock), iova: &Iova) -> Result<(), TceError> {
        self.table().clear(platform, self.ioba(iova), iova.pages)
    }

    /// Makes cleared pages free for other mappings.
    #[allow(clippy::needless_pass_by_value, reason = "the right to the pages ends here")]
    pub fn reuse(&self, clock: &impl Clock, iova: Iova) {
        // If another CPU does not release the lock, these pages are never used again.
        if let Ok(mut pages) = self.pages.take(clock) {
            pages.free(&iova);
        }
    }

    fn table(&self) -> Table {
        self.window.table()
    }

    fn ioba(&self, iova: &Iova) -> u64 {
        self.window.base().wrapping_add(iova.first.wrapping_mul(self.table().page_size()))
    }
}

fn bit(page: u64) -> u64 {
    1u64.wrapping_shl((page % 64) as u32)
}
