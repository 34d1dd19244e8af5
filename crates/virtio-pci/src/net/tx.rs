//! Sending: a bounded number of frames, each with a time by which the device must have taken it.

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

/// How long the oldest frame may stay with the device, or wait for room, unless told otherwise: twice as long as a
/// silent peer's connection lives. The host may hold frames back for as long as whoever is to have them does not read.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames for which room is kept when the receive queue is filled.
const RESERVED: usize = 8;
/// Frames under way at most.
const FRAMES: usize = 64;

/// Room of the pool, kept for a while.
pub(super) struct Reserved(Vec<Mapping>);

/// The transmit queue and its frames.
pub(super) struct Transmitter<P: Platform> {
    queue: NetQueue<P>,
    dma: Dma<P>,
    /// Longest frame.
    longest: usize,
    /// Buffers that are free.
    spare: Vec<Vec<u8>>,
    /// Frames that the device has not been given.
    waiting: VecDeque<Frame>,
    /// Those that it has.
    in_flight: InFlight,
    /// The oldest frame with the device, or none of those that wait, and when it is late.
    deadline: Option<(Option<u64>, Deadline)>,
    pub patience: Duration,
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
            patience: PATIENCE,
        })
    }

    /// Descriptors in the queue.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Keeps room for a few frames until [`Self::release`]: whoever receives must be able to answer.
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
            // SAFETY: no device was told of it: nothing can be done with what is reserved but to release it.
            self.spare.push(unsafe { self.dma.unmap(mapping) });
        }
    }

    /// Whether there is a free buffer; takes back what the device is done with.
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

    /// Queues a frame that [`Self::frame`] gave.
    pub fn transmit(&mut self, frame: Frame) {
        self.waiting.push_back(frame);
    }

    /// Gives waiting frames to the device, with one publication, and sees to it that the oldest is not late.
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

    /// Stages waiting frames until there are none, or one is refused.
    fn stage(&mut self, statistics: &mut NetStatistics) -> Result<(), NetError> {
        while let Some(frame) = self.waiting.pop_front() {
            // The 12-byte header before it says that there are no offloads: all zero.
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

    /// Takes back what the device is done with.
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
                    return Err(NetError::TransmitStuck { waited: self.patience, held: self.queue.posted() });
                }
            }
            other => *other = Some((oldest, Deadline::after(clock, self.patience))),
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
