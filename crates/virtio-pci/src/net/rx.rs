//! Reception: buffers are posted to the device, return as frames, and are posted again in batches.

use super::error::{Direction, NetError};
use super::link::{ETHERNET_HEADER, Frame};
use super::queue::{HEADER, NetQueue, Refusal};
use super::statistics::{NetStatistics, add, count};
use crate::virtio::transport::Transport;
use alloc::vec::Vec;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::Dma;

/// Bytes of an 802.1Q tag.
const VLAN_TAG: usize = 4;
/// Least bytes of a buffer for a device without offloads: a whole Ethernet frame and the header (virtio 1.2,
/// 5.1.6.3.1).
const LEAST_BUFFER: usize = 1526;
/// Most completions that one call looks at; the rest waits for the next call.
const AT_ONCE: usize = 64;

/// The receive queue, and the buffers that are not posted.
pub(super) struct Receiver<P: Platform> {
    queue: NetQueue<P>,
    spare: Vec<Vec<u8>>,
}

impl<P: Platform> Receiver<P> {
    /// Sets the queue up, with a buffer for each descriptor, none of them posted.
    pub fn new<M: Mmio>(transport: &mut Transport<M>, dma: &Dma<P>, mtu: u16) -> Result<Self, NetError> {
        let queue = NetQueue::new(Direction::Receive, transport, dma)?;
        let len = usize::from(mtu).saturating_add(HEADER + ETHERNET_HEADER + VLAN_TAG).max(LEAST_BUFFER);
        let spare = (0..queue.size()).map(|_| alloc::vec![0; len]).collect();
        Ok(Self { queue, spare })
    }

    /// Descriptors in the queue.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Buffers that the device holds.
    pub fn posted(&self) -> u16 {
        self.queue.posted()
    }

    /// The next frame that has arrived.
    pub fn receive(&mut self, statistics: &mut NetStatistics) -> Result<Option<Frame>, NetError> {
        for _ in 0..AT_ONCE {
            let Some(done) = self.queue.take()? else { return Ok(None) };
            // The header is not needed: its fields are about offloads, which were not accepted.
            let reason = match done.written.checked_sub(HEADER) {
                None => &mut statistics.rx_no_header,
                Some(len) if len < ETHERNET_HEADER => &mut statistics.rx_no_frame,
                Some(len) => {
                    count(&mut statistics.rx_frames);
                    add(&mut statistics.rx_bytes, len);
                    return Ok(Frame::new(done.buffer, HEADER, len));
                }
            };
            count(reason);
            self.spare.push(done.buffer);
        }
        Ok(None)
    }

    /// Takes a received frame's buffer back.
    pub fn recycle(&mut self, frame: Frame) {
        self.spare.push(frame.into_buffer());
    }

    /// Stages as many buffers as there is room for, and frees the others.
    pub fn fill(&mut self) -> Result<(), NetError> {
        let refusal = self.stage();
        self.queue.keep_slots();
        self.spare = Vec::with_capacity(usize::from(self.queue.size()));
        match refusal {
            Some(Refusal::Broken(error)) => Err(error),
            Some(Refusal::NoRoom(error)) if self.queue.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// Posts the spare buffers, all with one publication.
    pub fn refill<M: Mmio>(
        &mut self,
        transport: &Transport<M>,
        statistics: &mut NetStatistics,
    ) -> Result<(), NetError> {
        let refusal = self.stage();
        // Publish what was staged, also if the last buffer was refused.
        self.queue.publish(transport)?;
        match refusal {
            Some(Refusal::Broken(error)) => return Err(error),
            Some(Refusal::NoRoom(_)) => count(&mut statistics.rx_no_room),
            None => {}
        }
        Ok(())
    }

    /// Stages spare buffers until there are none left or one is refused.
    fn stage(&mut self) -> Option<Refusal> {
        while self.queue.has_room() {
            let buffer = self.spare.pop()?;
            let len = buffer.len();
            if let Err((buffer, refusal)) = self.queue.stage(buffer, len) {
                self.spare.push(buffer);
                return Some(refusal);
            }
        }
        None
    }

    /// Enables the interrupt for the next frame; true if one is there already.
    pub fn arm(&mut self) -> bool {
        self.queue.arm()
    }

    /// Disables the interrupt.
    pub fn disarm(&mut self) {
        self.queue.disarm();
    }

    /// Ends the queue.
    ///
    /// # Safety
    /// As [`NetQueue::free_memory`].
    #[allow(unsafe_code, reason = "only the caller knows that the device is reset")]
    pub unsafe fn free_memory(self, reset_confirmed: bool) {
        // SAFETY: as the caller promises.
        unsafe { self.queue.free_memory(reset_confirmed) };
    }
}
