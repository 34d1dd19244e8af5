//! One TCE table, entry by entry.

use super::{MapCause, TceError};
use core::time::Duration;
use papr::addr::Gpa;
use papr::clock::{Clock, Deadline};
use papr::hcall::{HcallError, calls};
use papr::platform::Hypervisor;

bitflags::bitflags! {
    /// What a device may do with a page; the low bits of its entry (Linux `asm/tce.h`). None: not mapped.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TceFlags: u64 {
        /// The device may read.
        const READ = 1;
        /// The device may write.
        const WRITE = 2;
    }
}

/// Entries that one H_STUFF_TCE may name.
const MOST_STUFFED: u64 = 512;

/// Time spent at most on one call that answers busy.
const LONGEST_BUSY: Duration = Duration::from_secs(2);
const MOST_BUSY: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// A table by its number and the size of the pages its entries map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) liobn: u32,
    pub(super) page_shift: u32,
}

impl Table {
    /// Bytes that one entry maps.
    pub(super) fn page_size(self) -> u64 {
        1u64.wrapping_shl(self.page_shift)
    }

    /// Clears `pages` entries from `ioba` on.
    pub(super) fn clear(
        self,
        platform: &(impl Hypervisor + Clock),
        ioba: u64,
        pages: u64,
    ) -> Result<(), TceError> {
        let mut at = ioba;
        let mut left = pages;
        while left > 0 {
            let count = left.min(MOST_STUFFED);
            settle(platform, || calls::clear_tces(platform, self.liobn, at, count))
                .map_err(|error| TceError::NotCleared { ioba: at, error })?;
            at = at.wrapping_add(count.wrapping_mul(self.page_size()));
            left = left.saturating_sub(count);
        }
        Ok(())
    }

    /// [`Self::clear`], and reads each entry back: H_STUFF_TCE may report success and clear nothing.
    pub(super) fn clear_checked(
        self,
        platform: &(impl Hypervisor + Clock),
        ioba: u64,
        pages: u64,
    ) -> Result<(), TceError> {
        self.clear(platform, ioba, pages)?;
        for page in 0..pages {
            let at = ioba.wrapping_add(page.wrapping_mul(self.page_size()));
            let tce = self.get(platform, at)?;
            if is_mapped(tce) {
                return Err(TceError::StillMapped { ioba: at, tce });
            }
        }
        Ok(())
    }

    /// Maps `pages` pages from `gpa` at `ioba` on; with `check`, reads each entry back. If one fails, clears all of
    /// them, as far as the hypervisor does it.
    ///
    /// # Safety
    /// As for [`calls::put_tce`], for all the pages.
    #[allow(unsafe_code, reason = "entries let devices at memory")]
    pub(super) unsafe fn map(
        self,
        platform: &(impl Hypervisor + Clock),
        ioba: u64,
        gpa: Gpa,
        pages: u64,
        flags: TceFlags,
        check: bool,
    ) -> Result<(), TceError> {
        for page in 0..pages {
            let offset = page.wrapping_mul(self.page_size());
            let at = ioba.wrapping_add(offset);
            let tce = gpa.0.wrapping_add(offset) | flags.bits();
            // SAFETY: the page is one of those that the caller may map.
            if let Err(cause) = unsafe { self.put(platform, at, tce, check) } {
                let undone = self.clear_checked(platform, ioba, page.saturating_add(1)).is_ok();
                return Err(TceError::NotMapped { ioba: at, cause, undone });
            }
        }
        Ok(())
    }

    /// The entry at `ioba`, as the hypervisor states it.
    pub(super) fn get(self, platform: &(impl Hypervisor + Clock), ioba: u64) -> Result<u64, TceError> {
        settle(platform, || calls::get_tce(platform, self.liobn, ioba))
            .map_err(|error| TceError::NotRead { ioba, error })
    }

    /// # Safety
    /// As for [`calls::put_tce`].
    #[allow(unsafe_code, reason = "an entry lets devices at memory")]
    unsafe fn put(
        self,
        platform: &(impl Hypervisor + Clock),
        ioba: u64,
        tce: u64,
        check: bool,
    ) -> Result<(), MapCause> {
        // SAFETY: as the caller promises.
        let put = || unsafe { calls::put_tce(platform, self.liobn, ioba, tce) };
        settle(platform, put).map_err(MapCause::Put)?;
        if check {
            let got =
                settle(platform, || calls::get_tce(platform, self.liobn, ioba)).map_err(MapCause::Get)?;
            if got != tce {
                return Err(MapCause::Differs { put: tce, got });
            }
        }
        Ok(())
    }
}

/// Whether a device may use the page of this entry.
pub(super) const fn is_mapped(tce: u64) -> bool {
    tce & TceFlags::all().bits() != 0
}

/// Makes an hcall, again while it answers busy, within bounds of time and count.
fn settle<T>(clock: &impl Clock, call: impl Fn() -> Result<T, HcallError>) -> Result<T, HcallError> {
    let first = call();
    if !matches!(first, Err(HcallError::Busy(_))) {
        return first;
    }
    let mut whole = Deadline::after(clock, LONGEST_BUSY);
    for _ in 0..MOST_BUSY {
        let mut pause = Deadline::after(clock, PAUSE);
        while !pause.expired(clock) {}
        let answer = call();
        if !matches!(answer, Err(HcallError::Busy(_))) || whole.expired(clock) {
            return answer;
        }
    }
    first
}
