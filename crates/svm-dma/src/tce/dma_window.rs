//! A window's entries: clears them, reads them back, and counts those outside of the pool.

use super::table::{Table, is_mapped};
use super::{TceError, WindowKind, WindowReport};
use core::ops::Deref;
use papr::addr::{Gpa, GpaRange};
use papr::clock::Clock;
use papr::host_bridge::DmaWindowSpec;
use papr::platform::Hypervisor;

/// A window of a bridge, whose entries can be cleared and read back: the default one, as `ibm,dma-window` describes it, or
/// a dynamic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaWindow(DmaWindowSpec);

impl From<DmaWindowSpec> for DmaWindow {
    fn from(spec: DmaWindowSpec) -> Self {
        Self(spec)
    }
}

/// Gives access to the window's numbers.
impl Deref for DmaWindow {
    type Target = DmaWindowSpec;

    fn deref(&self) -> &DmaWindowSpec {
        &self.0
    }
}

impl DmaWindow {
    /// As [`DmaWindowSpec::new`].
    ///
    /// # Errors
    /// The window cannot be used.
    pub fn new(liobn: u32, base: u64, size: u64) -> Result<Self, TceError> {
        Ok(Self(DmaWindowSpec::new(liobn, base, size)?))
    }

    /// Clears every entry: firmware, or the host, may have left some. Reads nothing back: see [`Self::clear_checked`].
    ///
    /// # Errors
    /// The entries from some address on may still be mapped.
    pub fn clear(&self, platform: &(impl Hypervisor + Clock)) -> Result<(), TceError> {
        self.table().clear(platform, self.base(), self.pages())
    }

    /// As [`Self::clear`], and reads every entry back: one hcall for each.
    ///
    /// # Errors
    /// An entry still maps a page, or this cannot be told.
    pub fn clear_checked(&self, platform: &(impl Hypervisor + Clock)) -> Result<(), TceError> {
        self.table().clear_checked(platform, self.base(), self.pages())
    }

    /// Reads every entry back: pages outside of `pool` that a device could reach through this window.
    ///
    /// # Errors
    /// An entry cannot be read.
    pub fn exposed(&self, platform: &(impl Hypervisor + Clock), pool: GpaRange) -> Result<u64, TceError> {
        let table = self.table();
        let page = table.page_size();
        let mut exposed = 0u64;
        for number in 0..self.pages() {
            let tce = table.get(platform, self.base().wrapping_add(number.wrapping_mul(page)))?;
            let real = Gpa(tce & !page.wrapping_sub(1));
            if is_mapped(tce) && !pool.contains(real, page) {
                exposed = exposed.saturating_add(1);
            }
        }
        Ok(exposed)
    }

    /// The part that is used. It never has bus address 0, which QEMU's virtio takes for a queue that was not set up
    /// (`hw/virtio/virtio.c`, `virtio_queue_notify`).
    pub(super) fn used(self) -> Self {
        if self.base() > 0 { self } else { Self(self.0.without_first_page()) }
    }

    /// Whether this window has the bus address.
    pub(super) fn has(&self, ioba: u64) -> bool {
        ioba >= self.base() && ioba.wrapping_sub(self.base()) < self.size()
    }

    /// Bus address of the last page.
    pub(super) fn last(&self) -> u64 {
        self.base().wrapping_add(self.size()).wrapping_sub(self.table().page_size())
    }

    pub(super) const fn table(&self) -> Table {
        Table { liobn: self.0.liobn(), page_shift: self.0.page_shift() }
    }

    pub(super) fn report(&self, kind: WindowKind, pages_mapped: u64) -> WindowReport {
        let (liobn, base, size, page_shift) = (self.liobn(), self.base(), self.size(), self.page_shift());
        WindowReport { liobn, base, size, page_shift, pages_mapped, kind }
    }
}
