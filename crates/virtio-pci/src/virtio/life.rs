//! The life of a device's queues: live, then ended for a reason and reset, perhaps brought up again. Memory that the
//! device held is used again only after the device confirmed its reset; until then it stays in quarantine.

#![allow(unsafe_code, reason = "only the caller knows what the reset of its device answered")]

use crate::virtio::transport::Transport;
use core::mem;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::Dma;

/// Resets a device that could not be set up. The drivers have put its memory into quarantine, which ends for each of
/// its `handles` if the reset is confirmed.
pub(crate) fn reset_after_failed_set_up<'a, M: Mmio, P: Platform + 'a>(
    transport: &mut Transport<M>,
    clock: &P,
    handles: impl IntoIterator<Item = &'a Dma<P>>,
) {
    if transport.reset(clock).is_ok() {
        for dma in handles {
            // SAFETY: the device confirmed its reset.
            unsafe { dma.confirm_reset() };
        }
    }
}

/// The state of a live device (`L`), or why the device is not used any more (`R`).
#[derive(Debug)]
pub(crate) struct Life<L, R> {
    state: Result<L, R>,
    reset_confirmed: bool,
}

impl<L, R: Copy> Life<L, R> {
    /// The life of a working device.
    pub(crate) fn new(live: L) -> Self {
        Self { state: Ok(live), reset_confirmed: false }
    }

    /// The state of the live device.
    ///
    /// # Errors
    /// Why the device is not used any more.
    #[inline]
    pub(crate) fn live(&self) -> Result<&L, R> {
        self.state.as_ref().map_err(|reason| *reason)
    }

    /// As [`Self::live`], mutable.
    ///
    /// # Errors
    /// As for [`Self::live`].
    #[inline]
    pub(crate) fn live_mut(&mut self) -> Result<&mut L, R> {
        self.state.as_mut().map_err(|reason| *reason)
    }

    /// Why the device is not used any more.
    pub(crate) fn ended(&self) -> Option<R> {
        self.state.as_ref().err().copied()
    }

    /// Ends the use of the device: `reset` resets it and returns the reason that counts and whether the reset was
    /// confirmed; `free` then frees or quarantines the driver's memory. `None` if the use had ended before.
    ///
    /// # Safety
    /// `reset` returns true only if the device confirmed its reset.
    pub(crate) unsafe fn end<P: Platform, T>(
        &mut self,
        dma: &Dma<P>,
        reset: impl FnOnce() -> (R, bool),
        free: impl FnOnce(L, bool) -> T,
    ) -> Option<T> {
        self.state.as_ref().ok()?;
        let (reason, confirmed) = reset();
        let live = mem::replace(&mut self.state, Err(reason)).ok()?;
        self.reset_confirmed = confirmed;
        let freed = free(live, confirmed);
        if confirmed {
            // SAFETY: as the caller promises.
            unsafe { dma.confirm_reset() };
        }
        Some(freed)
    }

    /// Retries the reset, if it was not confirmed when the use of the device ended. Returns whether it is confirmed
    /// now.
    ///
    /// # Safety
    /// As for [`Self::end`].
    pub(crate) unsafe fn retry_reset<P: Platform>(
        &mut self,
        dma: &Dma<P>,
        reset: impl FnOnce() -> bool,
    ) -> bool {
        if self.state.is_err() && !self.reset_confirmed && reset() {
            self.reset_confirmed = true;
            // SAFETY: as the caller promises.
            unsafe { dma.confirm_reset() };
        }
        self.reset_confirmed
    }

    /// Checks that the device may be brought up again: its driver `stopped` it, and its reset was confirmed.
    ///
    /// # Errors
    /// Why the device may not be brought up again.
    pub(crate) fn may_restart(&self, stopped: R) -> Result<(), R>
    where
        R: PartialEq,
    {
        match self.ended() {
            Some(reason) if reason == stopped && self.reset_confirmed => Ok(()),
            reason => Err(reason.unwrap_or(stopped)),
        }
    }
}
