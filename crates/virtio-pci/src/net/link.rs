//! The trait of a network device, as a stack uses it: Ethernet frames in private memory, in and out.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use papr::clock::Wake;

/// Bytes of an Ethernet header: destination, source, EtherType.
pub const ETHERNET_HEADER: usize = 14;
/// Bytes of the two addresses in it, and of an 802.1Q tag, which comes after them.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Whether a station can have this address: neither zero nor a group address (IEEE 802.3, 3.2.3).
    #[must_use]
    pub fn is_station(&self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 0 && self.0 != [0; 6]
    }

    /// A locally administered station address made of `seed`.
    #[must_use]
    pub fn local(seed: u64) -> Self {
        let [a, b, c, d, e, ..] = seed.to_le_bytes();
        Self([0x02, a, b, c, d, e])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An Ethernet frame inside an owned private buffer, with room before it for a device's header. Buffers circulate
/// between a link and its user, so that a packet costs no allocation.
#[derive(Debug, Default)]
pub struct Frame {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Frame {
    /// The frame at `start..start + len` of `buffer`; `None` when that is not wholly inside.
    #[must_use]
    pub fn new(buffer: Vec<u8>, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len).filter(|&end| end <= buffer.len())?;
        Some(Self { buffer, start, end })
    }

    /// The frame, from the destination address to the last byte of the payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The frame, for the sender to fill.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Removes the four bytes after both addresses from the frame: an 802.1Q tag.
    pub fn remove_tag(&mut self) {
        let end = self.start.saturating_add(ADDRESSES);
        let moved =
            self.buffer.get(self.start..end).and_then(|bytes| bytes.first_chunk::<ADDRESSES>()).copied();
        let start = self.start.saturating_add(TAG);
        let place = self.buffer.get_mut(start..start.saturating_add(ADDRESSES));
        if let (Some(moved), Some(place)) = (moved, place) {
            place.copy_from_slice(&moved);
            self.start = start;
        }
    }

    /// Bytes of the frame.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether the frame has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer that held the frame.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// A network device as the stack sees it. No call waits.
pub trait Link {
    /// Why a link stopped working for good.
    type Error: fmt::Debug + fmt::Display + Clone;

    /// The device's own address; does not change.
    fn mac(&self) -> MacAddr;
    /// Largest IP packet, in bytes, without the Ethernet header; does not change.
    fn mtu(&self) -> u16;
    /// Whether the device says that the link is up. May cost a register access.
    fn is_up(&mut self) -> bool;
    /// Whether the device wanted the card's address to be announced at the last [`Self::is_up`]; [`Self::announced`] is
    /// the answer.
    fn wants_announcement(&self) -> bool {
        false
    }
    /// The address was announced, or there is none: tells the device.
    fn announced(&mut self) {}
    /// The next received frame, if there is one.
    fn receive(&mut self) -> Option<Frame>;
    /// Takes a received frame's buffer back.
    fn recycle(&mut self, frame: Frame);
    /// Whether [`Self::frame`] would return one now; reclaims finished transmissions first.
    fn can_transmit(&mut self) -> bool;
    /// A zeroed frame of `len` bytes to fill. `None`: too long, or no room until transmissions finish.
    fn frame(&mut self, len: usize) -> Option<Frame>;
    /// Queues a frame from [`Self::frame`]; the next [`Self::flush`] sends it.
    fn transmit(&mut self, frame: Frame);
    /// Gives all queued frames and free buffers to the device, with one notification per direction, and checks
    /// deadlines.
    fn flush(&mut self);
    /// Called before the CPU is ceded. Enables the interrupt and returns the longest cede; an interrupt may end it
    /// earlier. `None` if there is work already. The caller calls [`Self::disarm`] afterwards.
    fn arm(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
    /// Called when the CPU is awake again, with the cause.
    fn disarm(&mut self, wake: Wake) {
        let _ = wake;
    }
    /// Why the link failed for good; `None` while it works.
    fn failure(&self) -> Option<Self::Error>;
}
