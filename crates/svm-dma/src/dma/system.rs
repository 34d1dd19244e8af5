//! The guest's one decision about bouncing, and the devices made under it.

use super::bounce::Counters;
use super::bounce::{Bounce, Shared};
use super::translate::Translation;
use super::{ByteCounts, DeviceId, Dma, DmaError};
use crate::pool::{DeviceStatistics, Pool, PoolStatistics};
use crate::share::SharedPool;
use crate::tce::{Ddw, DmaWindow, PhbWindow, Route, TceError};
use alloc::sync::Arc;
use alloc::vec::Vec;
use papr::addr::GpaRange;
use papr::lock::Lock;
use papr::platform::{DeviceMemory, Platform};

/// All DMA of the guest.
#[derive(Debug)]
pub struct DmaSystem<P: Platform> {
    platform: Arc<P>,
    pool: Option<(Arc<Shared<P::Memory>>, u32)>,
    totals: Arc<Counters>,
    /// No bridge of the machine translates.
    untranslated: bool,
}

impl<P: Platform> DmaSystem<P> {
    /// A secure guest: every byte goes through `pool`, and each of `devices` devices may hold an equal part of it.
    #[must_use]
    pub fn secure(platform: Arc<P>, pool: SharedPool<P::Memory>, devices: usize) -> Self {
        let frames = pool.frames();
        let devices = u32::try_from(devices).unwrap_or(u32::MAX);
        let quota = frames.checked_div(devices).unwrap_or(frames).max(1);
        let shared = Shared { memory: pool.memory().clone(), pool: Lock::new("pool", Pool::new(frames)) };
        Self { platform, pool: Some((Arc::new(shared), quota)), totals: Arc::default(), untranslated: false }
    }

    /// A normal guest: devices use buffers in place.
    ///
    /// # Safety
    /// This is an ordinary guest, which trusts its devices to write only where their drivers told them to.
    #[must_use]
    #[allow(unsafe_code, reason = "only the caller knows whose devices these are")]
    pub unsafe fn normal(platform: Arc<P>) -> Self {
        Self { platform, pool: None, totals: Arc::default(), untranslated: false }
    }

    /// For a machine without windows, whose bridges pass addresses on as they are: a device with
    /// VIRTIO_F_ACCESS_PLATFORM uses guest physical addresses as well. If a bridge translates after all, such a device
    /// finds nothing there.
    #[must_use]
    pub fn without_windows(mut self) -> Self {
        self.untranslated = true;
        self
    }

    /// Readies a host bridge's window, before any device behind it may be a bus master. In a secure guest the
    /// window maps the pool and nothing else, as read back; in a normal one all of `ram` through a dynamic window if the
    /// bridge offers one, else buffers while they are lent.
    ///
    /// # Errors
    /// The window cannot be used; nothing is mapped in it.
    #[allow(unsafe_code, reason = "entries let devices at memory")]
    pub fn bridge(
        &self,
        window: DmaWindow,
        dynamic: Option<&Ddw<'_>>,
        ram: &[GpaRange],
    ) -> Result<PhbWindow, TceError> {
        match &self.pool {
            Some((shared, _)) => {
                let range = GpaRange { start: shared.memory.gpa(), len: shared.memory.len() as u64 };
                // SAFETY: the range is a shared pool's, which is device memory and is never given back.
                unsafe { PhbWindow::for_pool(&*self.platform, window, dynamic, range) }
            }
            // SAFETY: without a pool this was made by `normal`, whose caller promised it.
            None => unsafe { PhbWindow::for_memory(&*self.platform, window, dynamic, ram) },
        }
    }

    /// DMA for one device, with its equal part of the pool. `access_platform` says whether the device offered
    /// VIRTIO_F_ACCESS_PLATFORM; if so, `window` is its bridge's.
    ///
    /// # Errors
    /// The device needs a window that is not there or was set up for the other mode.
    pub fn device(
        &self,
        id: DeviceId,
        access_platform: bool,
        window: Option<&PhbWindow>,
    ) -> Result<Dma<P>, DmaError> {
        let quota = self.pool.as_ref().map_or(0, |(_, fair)| *fair);
        self.device_with_quota(id, access_platform, window, quota)
    }

    /// As [`Self::device`], with a part of the pool of `quota_frames` frames.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn device_with_quota(
        &self,
        id: DeviceId,
        access_platform: bool,
        window: Option<&PhbWindow>,
        quota_frames: u32,
    ) -> Result<Dma<P>, DmaError> {
        let translation = if access_platform && !self.untranslated {
            match (window.ok_or(DmaError::NoWindow(id))?.route(), &self.pool) {
                (Route::Pool { gpa, bus }, Some(_)) | (Route::Direct { gpa, bus }, None) => {
                    Translation::Window { gpa: *gpa, bus: *bus }
                }
                (Route::OnDemand(window), None) => Translation::OnDemand(Arc::clone(window)),
                _ => return Err(DmaError::WrongWindow(id)),
            }
        } else {
            Translation::Identity
        };
        let bounce = match &self.pool {
            Some((shared, _)) => {
                let account = shared.open_account(&*self.platform, id, quota_frames)?;
                Bounce::Pool { shared: Arc::clone(shared), account }
            }
            None => Bounce::InPlace,
        };
        Ok(Dma::new(Arc::clone(&self.platform), id, bounce, translation, Arc::clone(&self.totals)))
    }

    /// Bytes copied for all devices.
    #[must_use]
    pub fn counts(&self) -> ByteCounts {
        self.totals.read()
    }

    /// Use of the pool; `None` in a normal guest, which has none, and if another CPU does not release the pool.
    #[must_use]
    pub fn pool_statistics(&self) -> Option<PoolStatistics> {
        let (shared, _) = self.pool.as_ref()?;
        Some(shared.pool.take(&*self.platform).ok()?.statistics())
    }

    /// Use of the pool, account by account: a device whose queues have accounts of their own comes several times. Empty
    /// in a normal guest, and if another CPU does not release the pool.
    #[must_use]
    pub fn device_statistics(&self) -> Vec<DeviceStatistics> {
        let pool = self.pool.as_ref().and_then(|(shared, _)| shared.pool.take(&*self.platform).ok());
        pool.map_or_else(Vec::new, |pool| pool.devices().collect())
    }
}
