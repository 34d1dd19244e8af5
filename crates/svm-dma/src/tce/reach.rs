//! What the devices behind a bridge can reach, as the TCE tables say.

use super::replace::answers;
use super::{DmaWindow, TceError};
use papr::addr::GpaRange;
use papr::clock::Clock;
use papr::platform::Hypervisor;

/// The window of a bridge that is in use, and the default one if it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    pub(super) window: DmaWindow,
    pub(super) removed: Option<DmaWindow>,
}

impl Reach {
    /// What devices reach through the default window alone.
    #[must_use]
    pub const fn of(window: DmaWindow) -> Self {
        Self { window, removed: None }
    }

    /// Pages outside of `pool` that a device could reach: every entry of the window is read.
    ///
    /// # Errors
    /// An entry cannot be read, or a window that was removed can.
    pub fn exposed(&self, platform: &(impl Hypervisor + Clock), pool: GpaRange) -> Result<u64, TceError> {
        if let Some(removed) = &self.removed
            && answers(platform, removed, Some(&self.window))
        {
            return Err(TceError::NotRemoved { liobn: removed.liobn() });
        }
        self.window.exposed(platform, pool)
    }
}
