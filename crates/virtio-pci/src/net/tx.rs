//! Transmission: a bounded number of frames; the device must take the oldest within a timeout.

use super::error::{Direction, NetError};
use super::in_flight::InFlight;
use super::link::{ETHERNET_HEADER, Frame};
use super::queue::{HEADER, NetQueue, Refusal};
use super::statistics::{NetStatistics, add, count};
use crate::virtio::transport::Transport;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use papr::clock::Deadline;
use papr::platform::Platform;
use papr::registers::Mmio;
use svm_dma::dma::{Dma, Mapping, Unmapped};

/// Default timeout of the oldest frame, with the device or in the wait for room: twice the life of a silent peer's
/// connection. A host may hold frames back as long as their receiver does not read.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Frames for which room stays reserved while the receive queue is filled.
const RESERVED: usize = 8;
/// Most frames in flight.
const FRAMES: usize = 64;

/// Reserved room in the pool.
pub(super) struct Reserved(Vec<Mapping>);

/// The transmit queue and its frames.
pub(super) struct Transmitter<P: Platform> {
    queue: NetQueue<P>,
    dma: Dma<P>,
    /// Longest frame.
    longest: usize,
    /// Free buffers.
    spare: Vec<Vec<u8>>,
    /// Frames that are not submitted yet.
    waiting: VecDeque<Frame>,
    /// Frames that the device holds.
    in_flight: InFlight,
    /// The oldest frame in flight (`None`: frames only wait for room), and its deadline.
    deadline: Option<(Option<u64>, Deadline)>,
    pub timeout: Duration,
}

impl<P: Platform> Transmitter<P> {
    /// Sets the queue up.
    pub fn new<M: Mmio>(transport: &mut Transport<M>, dma: &Dma<P>, mtu: u16) -> Result<Self, NetError> {
        let queue = NetQueue::new(Direction::Transmit, transport, dma)?;
        let in_flight = InFlight::new(queue.size());
        let longest = usize::from(mtu).saturating_add(ETHERNET_HEADER);
        let frames = FRAMES.min(usize::from(queue.size()));
        let spare = (0..frames).map(|_| alloc::vec![0; longest.saturating_add(HEADER)]).collect();
        Ok(Self {
            queue,
            dma: dma.clone(),
            longest,
            spare,
            waiting: VecDeque::with_capacity(frames),
            in_flight,
            deadline: None,
            timeout: TIMEOUT,
        })
    }

    /// Descriptors in the queue.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Reserves room for a few frames until [`Self::release`], so that the receive queue cannot use up all of it.
    pub fn reserve(&mut self) -> Result<Reserved, NetError> {
        let mut reserved = Vec::new();
        for _ in 0..RESERVED {
            let Some(buffer) = self.spare.pop() else { break };
            match self.dma.map_from_device(buffer) {
                Ok(mapping) => reserved.push(mapping),
                Err(Unmapped { error, buffer }) => {
                    self.spare.push(buffer);
                    if reserved.is_empty() {
                        return Err(error.into());
                    }
                    break;
                }
            }
        }
        Ok(Reserved(reserved))
    }

    /// Gives the room back.
    pub fn release(&mut self, Reserved(mappings): Reserved) {
        for mapping in mappings {
            #[allow(unsafe_code, reason = "the device let go of what it never had")]
            // SAFETY: no device knows the mapping: reserved room can only be released.
            self.spare.push(unsafe { self.dma.unmap(mapping) });
        }
    }

    /// Whether there is a free buffer; reclaims finished frames first.
    pub fn has_room(&mut self, statistics: &mut NetStatistics) -> Result<bool, NetError> {
        if self.spare.is_empty() {
            self.reclaim(statistics)?;
        }
        Ok(!self.spare.is_empty())
    }

    /// A zeroed frame of `len` bytes.
    pub fn frame(&mut self, len: usize) -> Option<Frame> {
        if len > self.longest {
            return None;
        }
        let mut buffer = self.spare.pop()?;
        buffer.get_mut(..len.saturating_add(HEADER))?.fill(0);
        Frame::new(buffer, HEADER, len)
    }

    /// Queues a frame from [`Self::frame`].
    pub fn transmit(&mut self, frame: Frame) {
        self.waiting.push_back(frame);
    }

    /// Submits the waiting frames with one publication, and checks the oldest frame's deadline.
    pub fn flush<M: Mmio>(
        &mut self,
        transport: &Transport<M>,
        statistics: &mut NetStatistics,
    ) -> Result<(), NetError> {
        self.reclaim(statistics)?;
        let staged = self.stage(statistics);
        // What was staged before is the device's, whatever became of the last one.
        self.queue.publish(transport)?;
        staged?;
        self.look_at_time()
    }

    /// Stages waiting frames until there are none left or one is refused.
    fn stage(&mut self, statistics: &mut NetStatistics) -> Result<(), NetError> {
        while let Some(frame) = self.waiting.pop_front() {
            // The 12-byte header before the frame is all zero: no offloads.
            let len = frame.len().saturating_add(HEADER);
            match self.queue.stage(frame.into_buffer(), len) {
                Ok(head) => self.in_flight.add(head),
                Err((_, Refusal::Broken(error))) => return Err(error),
                Err((buffer, Refusal::NoRoom(_))) => {
                    count(&mut statistics.tx_no_room);
                    if let Some(frame) = Frame::new(buffer, HEADER, len.saturating_sub(HEADER)) {
                        self.waiting.push_front(frame);
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reclaims frames that the device has finished.
    fn reclaim(&mut self, statistics: &mut NetStatistics) -> Result<(), NetError> {
        for _ in 0..self.queue.size() {
            let Some(done) = self.queue.take()? else { break };
            self.in_flight.remove(done.head);
            count(&mut statistics.tx_frames);
            add(&mut statistics.tx_bytes, done.len.saturating_sub(HEADER));
            self.spare.push(done.buffer);
        }
        Ok(())
    }

    fn look_at_time(&mut self) -> Result<(), NetError> {
        let oldest = self.in_flight.oldest();
        if oldest.is_none() && self.waiting.is_empty() {
            self.deadline = None;
            return Ok(());
        }
        let clock = self.dma.platform();
        match &mut self.deadline {
            Some((of, deadline)) if *of == oldest => {
                if deadline.expired(clock) {
                    return Err(NetError::TransmitStuck { waited: self.timeout, held: self.queue.posted() });
                }
            }
            other => *other = Some((oldest, Deadline::after(clock, self.timeout))),
        }
        Ok(())
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
