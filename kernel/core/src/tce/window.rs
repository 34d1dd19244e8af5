//! The windows of one PCI host bridge, set up for the guest's mode.

use super::table::Table;
use super::{Ddw, OnDemand, TceError, TceFlags, WindowKind, WindowReport};
use crate::addr::{Gpa, GpaRange};
use crate::clock::Clock;
use crate::seam::Hypervisor;
use alloc::sync::Arc;

/// Log2 of the bytes that an entry of the default window maps.
const PAGE_SHIFT: u32 = 12;

/// Pages of a window at most, 64 GiB: each is cleared by a call, and the host may claim any size.
const MOST_PAGES: u64 = 1 << 24;

/// The default window, as `ibm,dma-window` describes it and found to be sane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaWindow {
    liobn: u32,
    base: u64,
    size: u64,
}

impl DmaWindow {
    /// Judges `ibm,dma-window`: table number, first bus address, bytes.
    ///
    /// # Errors
    /// No whole page, not aligned to pages, wrapping, or more than 64 GiB.
    pub fn new(liobn: u32, base: u64, size: u64) -> Result<Self, TceError> {
        let page = 1u64 << PAGE_SHIFT;
        let whole = size >= page && size.is_multiple_of(page) && base.is_multiple_of(page);
        if !whole || base.checked_add(size).is_none() || size >> PAGE_SHIFT > MOST_PAGES {
            return Err(TceError::BadWindow { liobn, base, size });
        }
        Ok(Self { liobn, base, size })
    }

    /// The table's number.
    #[must_use]
    pub const fn liobn(&self) -> u32 {
        self.liobn
    }

    /// First bus address.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes away whatever firmware, or a host that plays it, has left mapped.
    ///
    /// # Errors
    /// The entries from some address on may still be mapped.
    pub fn clear(&self, platform: &(impl Hypervisor + Clock)) -> Result<(), TceError> {
        self.table().clear(platform, self.base, self.pages())
    }

    /// Reads every entry back: pages outside of `pool` that a device could reach through this window.
    ///
    /// # Errors
    /// An entry cannot be read.
    pub fn exposed(&self, platform: &(impl Hypervisor + Clock), pool: GpaRange) -> Result<u64, TceError> {
        let (table, both) = (self.table(), TceFlags::READ | TceFlags::WRITE);
        let page = table.page_size();
        let mut exposed = 0u64;
        for number in 0..self.pages() {
            let tce = table.get(platform, self.base.wrapping_add(number.wrapping_mul(page)))?;
            let real = Gpa(tce & !page.wrapping_sub(1));
            if TceFlags::from_bits_retain(tce).intersects(both) && !pool.contains(real, page) {
                exposed = exposed.saturating_add(1);
            }
        }
        Ok(exposed)
    }

    /// The part that is used: never bus address 0, which QEMU's virtio takes for a queue that has not been set
    /// up (`hw/virtio/virtio.c`, `virtio_queue_notify`).
    fn used(self) -> Self {
        if self.base > 0 {
            return self;
        }
        let page = 1 << PAGE_SHIFT;
        Self { base: page, size: self.size.saturating_sub(page), ..self }
    }

    pub(super) const fn pages(&self) -> u64 {
        self.size >> PAGE_SHIFT
    }

    pub(super) const fn table(&self) -> Table {
        Table { liobn: self.liobn, page_shift: PAGE_SHIFT }
    }

    fn report(&self, kind: WindowKind, pages_mapped: u64) -> WindowReport {
        let Self { liobn, base, size } = *self;
        WindowReport { liobn, base, size, page_shift: PAGE_SHIFT, pages_mapped, kind }
    }
}

/// How devices behind a bridge reach memory.
#[derive(Clone, Debug)]
pub enum Route {
    /// The shared pool was mapped once.
    Pool {
        /// The pool.
        gpa: GpaRange,
        /// Its first bus address.
        bus: u64,
    },
    /// All memory was mapped once.
    Direct {
        /// The memory.
        gpa: GpaRange,
        /// Its first bus address.
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
}

impl PhbWindow {
    /// A secure guest's: cleared, then the pool and nothing else, each entry read back.
    ///
    /// # Errors
    /// The window is smaller than the pool, or a call failed; nothing is mapped, if that can be said.
    pub fn for_pool(
        platform: &(impl Hypervisor + Clock),
        window: DmaWindow,
        pool: GpaRange,
    ) -> Result<Self, TceError> {
        let used = window.used();
        if pool.len > used.size {
            return Err(TceError::TooSmall { pool: pool.len, window: used.size });
        }
        let table = window.table();
        window.clear(platform)?;
        let pages = pool.len >> PAGE_SHIFT;
        let both = TceFlags::READ | TceFlags::WRITE;
        table.map(platform, used.base, pool.start, pages, both, true)?;
        let report = used.report(WindowKind::Pool, pages);
        Ok(Self { route: Route::Pool { gpa: pool, bus: used.base }, report })
    }

    /// A normal guest's: a dynamic window that maps all of `ram` if the bridge offers one, else the default
    /// window, cleared.
    ///
    /// # Errors
    /// The default window cannot be cleared.
    pub fn for_memory(
        platform: &(impl Hypervisor + Clock),
        window: DmaWindow,
        dynamic: Option<&Ddw<'_>>,
        ram: &[GpaRange],
    ) -> Result<Self, TceError> {
        window.clear(platform)?;
        if let Some(ddw) = dynamic {
            match ddw.map_all(platform, ram) {
                Ok((gpa, report)) => {
                    return Ok(Self { route: Route::Direct { gpa, bus: report.base }, report });
                }
                Err(error) => log::info!("no dynamic DMA window: {error}"),
            }
        }
        let used = window.used();
        let report = used.report(WindowKind::OnDemand, 0);
        Ok(Self { route: Route::OnDemand(Arc::new(OnDemand::new(used))), report })
    }

    /// How devices reach memory.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// What was set up.
    #[must_use]
    pub fn report(&self) -> WindowReport {
        self.report
    }

    /// Maps one private page behind the pool, which no build may do: the observers outside the guest must
    /// notice.
    ///
    /// # Errors
    /// As for any mapping.
    #[cfg(feature = "sabotage-map-private")]
    pub fn map_for_sabotage(
        &self,
        platform: &(impl Hypervisor + Clock),
        private: crate::addr::Gpa,
    ) -> Result<u64, TceError> {
        let table = Table { liobn: self.report.liobn, page_shift: self.report.page_shift };
        let behind = self.report.pages_mapped.wrapping_shl(self.report.page_shift);
        if behind >= self.report.size {
            return Err(TceError::NoRoom { pages: 1, free: 0 });
        }
        let ioba = self.report.base.wrapping_add(behind);
        let page = crate::addr::Gpa(private.0 & !table.page_size().wrapping_sub(1));
        table.map(platform, ioba, page, 1, TceFlags::READ | TceFlags::WRITE, false)?;
        Ok(ioba)
    }
}
