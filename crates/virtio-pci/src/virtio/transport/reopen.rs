//! Restarts a device whose driver has ended.

use super::Transport;
use crate::interrupts::{Delivery, IrqSource};
use crate::virtio::error::TransportError;
use crate::virtio::regions::Regions;
use alloc::sync::Arc;
use alloc::vec::Vec;
use papr::clock::Clock;
use papr::registers::Mmio;

/// Reopen handle: the device's registers and interrupt sources, which outlive its driver.
#[derive(Clone, Debug)]
pub struct Reopen<M> {
    mmio: M,
    regions: Regions,
    lines: Vec<Arc<IrqSource>>,
}

impl<M: Mmio + Clone> Transport<M> {
    /// The handle to restart the device.
    #[must_use]
    pub fn reopen(&self) -> Reopen<M> {
        Reopen { mmio: self.mmio.clone(), regions: self.regions, lines: self.lines.clone() }
    }
}

impl<M: Mmio + Clone> Reopen<M> {
    /// As [`Transport::begin`], with the same interrupt sources. A reset of the device clears only its queues' vectors,
    /// which are set again here. A queue that does not accept its vector, and all queues after it, are polled.
    ///
    /// # Errors
    /// As [`Transport::begin`].
    pub fn begin(&self, clock: &impl Clock) -> Result<Transport<M>, TransportError> {
        let mut transport = Transport::begin(self.mmio.clone(), self.regions, clock)?;
        for (index, line) in (0..).zip(&self.lines) {
            if line.delivery() == Delivery::MsiX && !transport.use_vector(index)? {
                break;
            }
            transport.add_line(Arc::clone(line));
        }
        Ok(transport)
    }
}

impl<M> Reopen<M> {
    pub(crate) fn regions(&self) -> Regions {
        self.regions
    }
}
