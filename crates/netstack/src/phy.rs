//! A [`Link`] as `smoltcp`'s device.

use super::announcement;
use super::checksum;
use super::fragments::{Fragments, Taken};
use super::ingress::{self, Kind, Reject};
use super::isn::{Ends, SequenceNumbers};
use super::settings::Settings;
use crate::random::Key;
use core::time::Duration;
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use virtio_pci::net::link::{ETHERNET_HEADER, Frame, Link};

/// Frames that passed between link and stack, and dropped frames by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounters {
    /// Frames given to the stack.
    pub received: u64,
    /// Frames given to the link.
    pub sent: u64,
    /// ICMP echo requests among the received ones.
    pub echo_requests: u64,
    /// Dropped: too short for their headers.
    pub malformed: u64,
    /// Dropped: neither ARP nor IPv4.
    pub foreign: u64,
    /// Dropped: from an address that no station can have.
    pub bad_source: u64,
    /// IPv4 fragments, which the stack does not see.
    pub fragments: u64,
    /// Echo requests in fragments that were answered; not among [`Self::echo_requests`].
    pub fragmented_pings: u64,
    /// Dropped: an IPv4 header, TCP, UDP or a ping in fragments with a wrong checksum.
    pub bad_checksum: u64,
    /// Announcements of the address that the device asked for and that were given to the link.
    pub announced: u64,
    /// Made by the stack, but longer than the link takes or without a free buffer.
    pub unsent: u64,
}

/// The link, its counters, and how many frames it may receive before the next [`Self::begin`].
pub(super) struct Phy<L> {
    pub link: L,
    pub counters: FrameCounters,
    pub numbers: SequenceNumbers,
    /// The configuration in force.
    pub settings: Option<Settings>,
    fragments: Fragments,
    now: Duration,
    budget: usize,
    /// The frame that [`Self::next`] found.
    found: Option<Frame>,
    /// The connection that this frame asks for.
    pub asked: Option<Ends>,
    done: Option<Frame>,
}

impl<L: Link> Phy<L> {
    /// `key` is for the sequence numbers of TCP.
    pub fn new(link: L, key: Key) -> Self {
        Self {
            link,
            counters: FrameCounters::default(),
            numbers: SequenceNumbers::new(key),
            settings: None,
            fragments: Fragments::default(),
            now: Duration::ZERO,
            budget: 0,
            found: None,
            asked: None,
            done: None,
        }
    }

    /// Allows `frames` more frames to be received; `now` is the time for what is sent.
    pub fn begin(&mut self, frames: usize, now: Duration) {
        self.budget = frames;
        self.now = now;
    }

    /// Whether the budget is used up, so that frames may be left.
    pub fn is_exhausted(&self) -> bool {
        self.budget == 0
    }

    /// Finds the next admitted frame, within the budget, for `receive`. Returns its kind.
    ///
    /// The stack may answer a frame at once. Without room for the answer the frame stays with the device, which then
    /// has to drop later ones.
    pub fn next(&mut self) -> Option<Kind> {
        if let Some(done) = self.done.take() {
            self.link.recycle(done);
        }
        if !self.link.can_transmit() {
            return None;
        }
        loop {
            self.budget = self.budget.checked_sub(1)?;
            let mut frame = self.link.receive()?;
            if ingress::has_priority_tag(frame.bytes()) {
                frame.remove_tag();
            }
            let counters = &mut self.counters;
            let admitted = ingress::admit(frame.bytes());
            let verified = admitted.and_then(|kind| checksum::verify(frame.bytes(), kind).map(|()| kind));
            let counter = match verified {
                Ok(kind) => {
                    counters.received = counters.received.wrapping_add(1);
                    if kind == Kind::EchoRequest {
                        counters.echo_requests = counters.echo_requests.wrapping_add(1);
                    }
                    if kind == Kind::Tcp {
                        self.asked = self.numbers.incoming(frame.bytes_mut());
                    }
                    self.found = Some(frame);
                    return Some(kind);
                }
                Err(Reject::Malformed) => &mut counters.malformed,
                Err(Reject::Protocol) => &mut counters.foreign,
                Err(Reject::Source) => &mut counters.bad_source,
                Err(Reject::Fragment) => {
                    self.take_fragment(&frame);
                    &mut self.counters.fragments
                }
                Err(Reject::Checksum) => &mut counters.bad_checksum,
            };
            *counter = counter.wrapping_add(1);
            self.link.recycle(frame);
            // An answer in fragments may have taken all the room.
            if verified == Err(Reject::Fragment) && !self.link.can_transmit() {
                return None;
            }
        }
    }

    /// Announces the address if the device wants that. Without room for the frame the device asks again; without an
    /// address there is nothing to announce.
    #[cold]
    pub fn announce(&mut self) {
        if !self.link.wants_announcement() {
            return;
        }
        if let Some(settings) = self.settings {
            if !self.link.can_transmit() {
                return;
            }
            let Some(mut frame) = self.link.frame(announcement::LEN) else { return };
            if let Some(bytes) = frame.bytes_mut().first_chunk_mut() {
                *bytes = announcement::frame(self.link.mac(), settings.address);
            }
            self.link.transmit(frame);
            self.counters.announced = self.counters.announced.wrapping_add(1);
        }
        self.link.announced();
    }

    /// Has a fragment put to the others of its ping.
    #[cold]
    fn take_fragment(&mut self, frame: &Frame) {
        let Self { link, counters, fragments, .. } = self;
        let taken = if checksum::verify(frame.bytes(), Kind::Other).is_err() {
            Taken::Checksum
        } else {
            fragments.take(frame.bytes(), self.settings, self.now, link)
        };
        let counter = match taken {
            Taken::Fragment => return,
            Taken::Answered => &mut counters.fragmented_pings,
            Taken::NoRoom => &mut counters.unsent,
            Taken::Checksum => &mut counters.bad_checksum,
        };
        *counter = counter.wrapping_add(1);
    }
}

impl<L: Link> phy::Device for Phy<L> {
    type RxToken<'a>
        = Received<'a>
    where
        L: 'a;
    type TxToken<'a>
        = ToSend<'a, L>
    where
        L: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, ToSend<'_, L>)> {
        let frame = self.found.take()?;
        let Self { link, counters, numbers, now, done, .. } = self;
        Some((Received { frame, done }, ToSend { link, counters, numbers, now: *now }))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_, L>> {
        let Self { link, counters, numbers, now, .. } = self;
        link.can_transmit().then_some(ToSend { link, counters, numbers, now: *now })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.link.mtu()).saturating_add(ETHERNET_HEADER);
        // This crate computes the checksums: a host that could do it is not trusted.
        capabilities.checksum.ipv4 = Checksum::None;
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        capabilities
    }
}

/// One received frame on its way into the stack.
pub(super) struct Received<'a> {
    frame: Frame,
    done: &'a mut Option<Frame>,
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(self.frame.bytes());
        *self.done = Some(self.frame);
        result
    }
}

/// Room for one frame on its way out of the stack.
pub(super) struct ToSend<'a, L> {
    link: &'a mut L,
    counters: &'a mut FrameCounters,
    numbers: &'a mut SequenceNumbers,
    now: Duration,
}

impl<L: Link> phy::TxToken for ToSend<'_, L> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Some(mut frame) = self.link.frame(len) else {
            // `smoltcp` has to write the frame somewhere.
            self.counters.unsent = self.counters.unsent.wrapping_add(1);
            return f(&mut alloc::vec![0; len]);
        };
        let result = f(frame.bytes_mut());
        self.numbers.outgoing(frame.bytes_mut(), self.now);
        checksum::fill(frame.bytes_mut());
        self.link.transmit(frame);
        self.counters.sent = self.counters.sent.wrapping_add(1);
        result
    }
}
