//! What the queues of one disk share: its registers, its capacity, and whether it is still in use.

use crate::blk::abilities::Abilities;
use crate::blk::error::{BlkError, BreakReason};
use crate::blk::geometry::read_capacity;
use crate::virtio::transport::{Reopen, Transport};
use core::sync::atomic::Ordering;
use papr::clock::Clock;
use papr::lock::{Lock, Stuck};
use papr::registers::Mmio;
use papr::sync::{AtomicBool, AtomicU64};
use svm_dma::dma::DeviceId;

/// The shared part of a disk. Submission and completion take no lock: they read a flag and a number, and write a
/// doorbell. The lock is for rare steps: the health check of a silent device, and its end.
#[derive(Debug)]
pub(super) struct Control<M> {
    mmio: M,
    /// Capacity in sectors; follows the device's configuration.
    capacity: AtomicU64,
    /// How often the capacity changed.
    resizes: AtomicU64,
    abilities: Abilities,
    /// A hint that `end` is set.
    ended: AtomicBool,
    registers: Lock<Registers<M>>,
}

#[derive(Debug)]
struct Registers<M> {
    transport: Transport<M>,
    end: Option<End>,
    /// The capacity that was read last, and how often it changed.
    capacity: u64,
    resizes: u64,
}

/// How the use of a device ended, for all its queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) reason: BreakReason,
    /// The device confirmed its reset: it uses no memory any more.
    pub(super) reset_confirmed: bool,
}

impl<M: Mmio + Clone> Control<M> {
    pub(super) fn new(transport: Transport<M>, capacity: u64, abilities: Abilities) -> Self {
        Self {
            mmio: transport.mmio().clone(),
            capacity: AtomicU64::new(capacity),
            resizes: AtomicU64::new(0),
            abilities,
            ended: AtomicBool::new(false),
            registers: Lock::new(
                "disk's registers",
                Registers { transport, end: None, capacity, resizes: 0 },
            ),
        }
    }

    pub(super) fn reopen(&self, clock: &impl Clock) -> Result<Reopen<M>, BreakReason> {
        Ok(self.registers.take(clock)?.transport.reopen())
    }
}

impl<M: Mmio> Control<M> {
    pub(super) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Changes of the capacity that were noticed.
    pub(super) fn resizes(&self) -> u64 {
        self.resizes.load(Ordering::Relaxed)
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// Stores a new capacity, with the registers locked.
    fn take_over(&self, registers: &mut Registers<M>, capacity: u64) {
        if registers.capacity != capacity {
            registers.capacity = capacity;
            registers.resizes = registers.resizes.saturating_add(1);
            self.capacity.store(capacity, Ordering::Relaxed);
            self.resizes.store(registers.resizes, Ordering::Relaxed);
        }
    }

    /// Whether some queue ended the use of the device.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// For doorbells.
    pub(super) fn mmio(&self) -> &M {
        &self.mmio
    }

    /// Lets the device work on its queues, once all are set up.
    pub(super) fn start(&self, clock: &impl Clock) -> Result<(), BreakReason> {
        self.registers.take(clock)?.transport.start().map_err(BreakReason::Transport)
    }

    /// Checks that the device is alive, and reads a changed capacity.
    pub(super) fn check_health(&self, clock: &impl Clock) -> Result<(), BreakReason> {
        let mut registers = self.registers.take(clock)?;
        if let Some(end) = registers.end {
            return Err(end.reason);
        }
        registers.transport.alive().map_err(BreakReason::Transport)?;
        if registers.transport.config_changed().map_err(BreakReason::Transport)? {
            // A configuration that cannot be read keeps its old value here.
            if let Ok(capacity) = read_capacity(&mut registers.transport) {
                self.take_over(&mut registers, capacity);
            }
        }
        Ok(())
    }

    /// Reads the capacity again and stores it.
    pub(super) fn refresh(&self, clock: &impl Clock) -> Result<u64, BlkError> {
        let mut registers = self.registers.take(clock).map_err(|stuck| BlkError::Broken(stuck.into()))?;
        if let Some(end) = registers.end {
            return Err(BlkError::Broken(end.reason));
        }
        let capacity = read_capacity(&mut registers.transport)?;
        self.take_over(&mut registers, capacity);
        Ok(capacity)
    }

    /// Ends the use of the device: resets it, unless another queue was first, whose reason then counts. Does not reset
    /// the device if another CPU does not release its registers.
    pub(super) fn end(&self, reason: BreakReason, id: DeviceId, clock: &impl Clock) -> End {
        let mut registers = match self.registers.take(clock) {
            Ok(registers) => registers,
            Err(stuck) => return self.end_without_reset(reason, id, stuck),
        };
        if let Some(end) = registers.end {
            return end;
        }
        if reason != BreakReason::Stopped {
            log::error!("blk {id}: broken: {reason}");
        }
        let end = End { reason, reset_confirmed: registers.transport.reset(clock).is_ok() };
        registers.end = Some(end);
        self.ended.store(true, Ordering::Relaxed);
        if !end.reset_confirmed {
            log::error!("blk {id}: reset not confirmed, its memory stays in quarantine");
        }
        end
    }

    #[cold]
    fn end_without_reset(&self, reason: BreakReason, id: DeviceId, stuck: Stuck) -> End {
        let reason = if reason == BreakReason::Stopped { stuck.into() } else { reason };
        log::error!("blk {id}: broken: {reason}; not reset, its memory stays in quarantine");
        self.ended.store(true, Ordering::Relaxed);
        End { reason, reset_confirmed: false }
    }

    /// Retries the reset of a device whose use has ended, if it was not confirmed. Returns whether it is confirmed now.
    pub(super) fn retry_reset(&self, clock: &impl Clock) -> bool {
        let Ok(mut registers) = self.registers.take(clock) else { return false };
        let Some(end) = registers.end else { return false };
        if !end.reset_confirmed && registers.transport.reset(clock).is_ok() {
            registers.end = Some(End { reset_confirmed: true, ..end });
            return true;
        }
        end.reset_confirmed
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
