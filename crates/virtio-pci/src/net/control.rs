//! The control queue (virtio 1.2, 5.1.6.5): one command at a time, whose answer is judged and has to come in time.
//!
//! Nobody waits here: a command is published, and its answer is looked for whenever the driver checks that the device is
//! alive. No interrupt announces it.

#![allow(unsafe_code, reason = "the command's memory is lent, and comes back once the device has let go")]

use super::error::{ControlError, NetError};
use crate::virtio::queue::Queue;
use crate::virtio::ring::Descriptor;
use crate::virtio::transport::{Doorbell, Transport};
use crate::virtio::violation::Violation;
use core::time::Duration;
use papr::clock::Deadline;
use papr::platform::{DeviceMemory, Platform};
use papr::registers::Mmio;
use svm_dma::dma::{Coherent, Dma};

/// The queue's number: twice the number of pairs (virtio 1.2, 5.1.2). The driver accepts neither VIRTIO_NET_F_MQ nor
/// VIRTIO_NET_F_RSS, so there is one pair, however many the device could have.
const NUMBER: u16 = 2;
/// Descriptors: a command and its answer.
const QUEUE_SIZE: u16 = 2;

/// VIRTIO_NET_CTRL_ANNOUNCE and VIRTIO_NET_CTRL_ANNOUNCE_ACK: class and command, a byte each (virtio 1.2, 5.1.6.5.4).
const ANNOUNCE_ACK: [u8; 2] = [3, 0];
/// VIRTIO_NET_OK and VIRTIO_NET_ERR, and a status that no device answers.
const OK: u8 = 0;
const ERR: u8 = 1;
const NO_ANSWER: u32 = 0xff;

/// Where a command and its answer are in their memory, and its bytes. Each is a word of its own.
const COMMAND_AT: usize = 0;
const ANSWER_AT: usize = 4;
const BYTES: usize = 8;
const COMMAND_BYTES: u32 = 2;
const ANSWER_BYTES: u32 = 1;

/// The queue, and the memory of its one command.
pub(super) struct ControlQueue<P: Platform> {
    dma: Dma<P>,
    queue: Queue<P, ()>,
    doorbell: Doorbell,
    command: Coherent<P::Memory>,
    /// While the device has a command.
    deadline: Option<Deadline>,
}

impl<P: Platform> ControlQueue<P> {
    /// Sets the queue up.
    pub fn new<M: Mmio>(transport: &mut Transport<M>, dma: &Dma<P>) -> Result<Self, NetError> {
        let (queue, doorbell) = transport.queue(NUMBER, QUEUE_SIZE, dma)?;
        match dma.coherent(BYTES) {
            Ok(command) => Ok(Self { dma: dma.clone(), queue, doorbell, command, deadline: None }),
            Err(error) => {
                queue.quarantine();
                Err(error.into())
            }
        }
    }

    /// Whether the device has no command.
    pub fn is_idle(&self) -> bool {
        self.deadline.is_none()
    }

    /// Tells the device that the address was announced. Call this while the queue is idle.
    pub fn acknowledge_announcement<M: Mmio>(
        &mut self,
        transport: &Transport<M>,
        timeout: Duration,
    ) -> Result<(), NetError> {
        let [class, command] = ANNOUNCE_ACK;
        let memory = self.command.memory();
        memory.store32(COMMAND_AT, u32::from_le_bytes([class, command, 0, 0]));
        memory.store32(ANSWER_AT, NO_ANSWER);
        let bus = self.command.bus;
        let answer = bus.checked_add(ANSWER_AT as u64).ok_or(ControlError::Address)?;
        let chain = [
            Descriptor { bus, len: COMMAND_BYTES, device_writes: false },
            Descriptor { bus: answer, len: ANSWER_BYTES, device_writes: true },
        ];
        // SAFETY: both are in the command's memory, which this DMA lends for either direction until `free_memory`.
        unsafe { self.queue.stage(&chain) }.map_err(ControlError::Queue)?;
        self.deadline = Some(Deadline::after(self.dma.platform(), timeout));
        if self.queue.publish() {
            self.doorbell.ring(transport.mmio())?;
        }
        Ok(())
    }

    /// Judges the answer, if it has come. True if the device refused the command. A command without an answer is
    /// notified again: the notification may have been lost.
    pub fn poll<M: Mmio>(&mut self, transport: &Transport<M>, timeout: Duration) -> Result<bool, NetError> {
        let Some(used) = self.queue.take().map_err(ControlError::Violation)? else {
            if let Some(deadline) = &mut self.deadline {
                if deadline.expired(self.dma.platform()) {
                    return Err(ControlError::Stuck(timeout).into());
                }
                self.doorbell.ring(transport.mmio())?;
            }
            return Ok(false);
        };
        self.deadline = None;
        if used.written < ANSWER_BYTES {
            let short = Violation::TooShort { id: used.head, written: used.written, needed: ANSWER_BYTES };
            return Err(ControlError::Violation(short).into());
        }
        let [status, ..] = self.command.memory().load32(ANSWER_AT).to_le_bytes();
        match status {
            OK => Ok(false),
            ERR => Ok(true),
            other => Err(ControlError::Status(other).into()),
        }
    }

    /// Ends the queue. Unless the device's reset is confirmed, its memory is not used again.
    ///
    /// # Safety
    /// `reset_confirmed` is true only if the device's reset was confirmed.
    pub unsafe fn free_memory(self, reset_confirmed: bool) {
        // SAFETY: as the caller promises.
        unsafe { self.queue.free_memory(reset_confirmed) };
        if reset_confirmed {
            // SAFETY: the caller promises that the reset was confirmed.
            unsafe { self.dma.release(self.command) };
        } else {
            self.dma.quarantine_coherent(self.command);
        }
    }
}
