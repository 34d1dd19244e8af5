//! The windows of one PCI host bridge, set up for the guest's mode.

use super::dma_window::DmaWindow;
use super::reach::Reach;
use super::replace::{Kept, replace};
use super::{Ddw, OnDemand, TceError, TceFlags, WindowKind, WindowReport};
use alloc::sync::Arc;
use papr::addr::GpaRange;
use papr::clock::Clock;
use papr::platform::Hypervisor;

/// How devices behind a bridge reach memory.
#[derive(Clone, Debug)]
pub enum Route {
    /// The shared pool was mapped once.
    Pool {
        /// The pool's guest physical addresses.
        gpa: GpaRange,
        /// Bus address of the pool's first byte.
        bus: u64,
    },
    /// All memory was mapped once.
    Direct {
        /// The memory's guest physical addresses.
        gpa: GpaRange,
        /// Bus address of the memory's first byte.
        bus: u64,
    },
    /// Buffers are mapped while they are lent.
    OnDemand(Arc<OnDemand>),
}

/// A bridge's window, ready for devices.
#[derive(Clone, Debug)]
pub struct PhbWindow {
    route: Route,
    report: WindowReport,
    reach: Reach,
}

impl PhbWindow {
    /// A secure guest's: the pool and nothing else. The default window is replaced by one that has room for little
    /// more than the pool, if the bridge makes such windows; else it is cleared. Each entry of the window is
    /// read back twice: before the pool is mapped, and of the pool's pages after each was put.
    ///
    /// # Errors
    /// The window is smaller than the pool, still maps something, or a call failed. The error says if entries may still
    /// be mapped.
    ///
    /// # Safety
    /// `pool` is device memory, and stays so for good.
    #[allow(unsafe_code, reason = "entries let devices at memory")]
    pub unsafe fn for_pool(
        platform: &(impl Hypervisor + Clock),
        default: DmaWindow,
        dynamic: Option<&Ddw<'_>>,
        pool: GpaRange,
    ) -> Result<Self, TceError> {
        let replacement = match dynamic.map(|ddw| replace(ddw, platform, default, pool.len)) {
            Some(Ok(window)) => Some(window),
            Some(Err(Kept::Lost(error))) => return Err(error),
            Some(Err(kept)) => {
                log::info!("the default TCE window stays: {kept}");
                None
            }
            None => None,
        };
        let window = replacement.unwrap_or(default);
        let used = window.used();
        if pool.len > used.size() {
            return Err(TceError::TooSmall { pool: pool.len, window: used.size() });
        }
        let table = window.table();
        window.clear_checked(platform)?;
        let pages = pool.len.div_ceil(table.page_size());
        let both = TceFlags::READ | TceFlags::WRITE;
        // SAFETY: the pages are the pool's: device memory for good, by the caller's promise. The pool is whole frames, and
        // a page is a frame or less.
        unsafe { table.map(platform, used.base(), pool.start, pages, both, true)? };
        let report = used.report(WindowKind::Pool, pages);
        let reach = Reach { window, removed: replacement.map(|_| default) };
        Ok(Self { route: Route::Pool { gpa: pool, bus: used.base() }, report, reach })
    }

    /// A normal guest's: a dynamic window that maps all of `ram` if the bridge offers one, else the default
    /// window, cleared and read back.
    ///
    /// # Errors
    /// The default window cannot be cleared, or still maps something.
    ///
    /// # Safety
    /// This is an ordinary guest, which trusts its devices to write only where their drivers told them to.
    #[allow(unsafe_code, reason = "entries let devices at memory")]
    pub unsafe fn for_memory(
        platform: &(impl Hypervisor + Clock),
        window: DmaWindow,
        dynamic: Option<&Ddw<'_>>,
        ram: &[GpaRange],
    ) -> Result<Self, TceError> {
        let reach = Reach::of(window);
        if let Some(ddw) = dynamic {
            // Not read back: this guest's devices reach all memory in any case.
            window.clear(platform)?;
            // SAFETY: as the caller promises.
            match unsafe { ddw.map_all(platform, ram) } {
                Ok((gpa, report)) => {
                    return Ok(Self { route: Route::Direct { gpa, bus: report.base }, report, reach });
                }
                Err(error) => log::info!("no dynamic DMA window: {error}"),
            }
        }
        window.clear_checked(platform)?;
        let used = window.used();
        let report = used.report(WindowKind::OnDemand, 0);
        // SAFETY: as the caller promises.
        let on_demand = unsafe { OnDemand::new(used) };
        Ok(Self { route: Route::OnDemand(Arc::new(on_demand)), report, reach })
    }

    /// What a secure guest's devices can reach through the bridge.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// The way from a guest physical address to a bus address.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// What was set up, for the summary.
    #[must_use]
    pub fn report(&self) -> WindowReport {
        self.report
    }

    /// Maps one private page behind the pool, which no build may do: the observers outside the guest must
    /// notice.
    ///
    /// # Errors
    /// As for any mapping.
    #[cfg(sabotage_map_private)]
    #[allow(unsafe_code, reason = "what it does wrong is to be noticed")]
    pub fn map_for_sabotage(
        &self,
        platform: &(impl Hypervisor + Clock),
        private: papr::addr::Gpa,
    ) -> Result<u64, TceError> {
        let table = super::table::Table { liobn: self.report.liobn, page_shift: self.report.page_shift };
        let behind = self.report.pages_mapped.wrapping_shl(self.report.page_shift);
        if behind >= self.report.size {
            return Err(TceError::NoRoom { pages: 1, free: 0 });
        }
        let ioba = self.report.base.wrapping_add(behind);
        let page = papr::addr::Gpa(private.0 & !table.page_size().wrapping_sub(1));
        // SAFETY: none can be given: this build breaks the rule, on purpose. No driver is told the address.
        unsafe { table.map(platform, ioba, page, 1, TceFlags::READ | TceFlags::WRITE, false)? };
        Ok(ioba)
    }
}
