//! Initial sequence numbers as in RFC 6528: a timer plus a keyed function of the connection.
//!
//! `smoltcp` takes them from a linear generator, whose numbers reveal its state, and has no call to set them. So this
//! module adds a constant to each connection's numbers between stack and link, like a firewall that modulates sequence
//! numbers: to the sequence numbers of sent segments, and to the acknowledgement numbers of received ones.

use super::checksum::TCP;
use super::ingress::IPV4_HEADER;
use crate::random::Key;
use arrayvec::ArrayVec;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use papr::parts::low_u32;
use virtio_pci::net::link::ETHERNET_HEADER;

/// Most connections in the table: more than there are sockets, so that ended ones may stay for a while.
const MOST: usize = 64;
/// The timer's tick (RFC 6528, section 3).
const TICK_US: u32 = 4;
const TICKS_A_SECOND: u64 = 250_000;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// This machine's end.
    pub local: SocketAddrV4,
    /// The peer.
    pub remote: SocketAddrV4,
}

struct Connection {
    ends: Ends,
    /// The stack's initial sequence number.
    inner: u32,
    /// The constant that is added to the stack's numbers.
    offset: u32,
}

/// The connections and their constants.
pub(super) struct SequenceNumbers {
    key: Key,
    connections: ArrayVec<Connection, MOST>,
}

/// A TCP header: its offset in a frame, and its fields.
struct Segment {
    at: usize,
    source: SocketAddrV4,
    destination: SocketAddrV4,
    flags: u8,
}

impl SequenceNumbers {
    /// An empty table; initial numbers depend on `key`.
    pub fn new(key: Key) -> Self {
        Self { key, connections: ArrayVec::new() }
    }

    /// Whether the caller should call [`Self::retain`].
    pub fn is_half_full(&self) -> bool {
        self.connections.len() > MOST / 2
    }

    /// Removes the connections for which `lives` is false.
    pub fn retain(&mut self, mut lives: impl FnMut(Ends) -> bool) {
        self.connections.retain(|connection| lives(connection.ends));
    }

    /// Changes the sequence number of a frame that the stack made, before its checksum is computed.
    pub fn outgoing(&mut self, frame: &mut [u8], now: Duration) {
        let Some(segment) = Segment::of(frame) else { return };
        let ends = Ends { local: segment.source, remote: segment.destination };
        let Some(number) = word_at(frame, segment.at.saturating_add(4)) else { return };
        let known = self.connections.iter().position(|connection| connection.ends == ends);
        let known = known.and_then(|index| Some((index, self.connections.get(index)?)));
        let offset = match known {
            Some((_, known)) if segment.flags & SYN == 0 || known.inner == u32::from_be_bytes(*number) => {
                known.offset
            }
            None if segment.flags & SYN == 0 => return,
            other => {
                let inner = u32::from_be_bytes(*number);
                let offset = self.initial(ends, now).wrapping_sub(inner);
                // Replaces the earlier connection of these ends, or the oldest if the table is full, which `retain`
                // prevents.
                if let Some(index) = other.map(|(index, _)| index).or(self.connections.is_full().then_some(0))
                {
                    self.connections.remove(index);
                }
                self.connections.push(Connection { ends, inner, offset });
                offset
            }
        };
        *number = u32::from_be_bytes(*number).wrapping_add(offset).to_be_bytes();
    }

    /// Changes the acknowledgement number of a received frame, after its checksum was verified. Returns the ends of the
    /// connection that the frame asks for, if it is a SYN.
    pub fn incoming(&self, frame: &mut [u8]) -> Option<Ends> {
        let segment = Segment::of(frame)?;
        let ends = Ends { local: segment.destination, remote: segment.source };
        if segment.flags & ACK == 0 {
            return (segment.flags & (SYN | RST) == SYN).then_some(ends);
        }
        self.move_acknowledgement(frame, &segment, ends);
        None
    }

    fn move_acknowledgement(&self, frame: &mut [u8], segment: &Segment, ends: Ends) {
        let Some(known) = self.connections.iter().find(|connection| connection.ends == ends) else { return };
        if let Some(number) = word_at(frame, segment.at.saturating_add(8)) {
            *number = u32::from_be_bytes(*number).wrapping_sub(known.offset).to_be_bytes();
        }
    }

    /// RFC 6528, section 3: `ISN = M + F(localip, localport, remoteip, remoteport, secretkey)`.
    fn initial(&self, ends: Ends, now: Duration) -> u32 {
        let timer = low_u32(
            now.as_secs().wrapping_mul(TICKS_A_SECOND).wrapping_add((now.subsec_micros() / TICK_US).into()),
        );
        let address = |end: SocketAddrV4| end.ip().octets();
        let port = |end: SocketAddrV4| end.port().to_be_bytes();
        let mac = self.key.mac(&[
            b"isn",
            &address(ends.local),
            &port(ends.local),
            &address(ends.remote),
            &port(ends.remote),
        ]);
        timer.wrapping_add(mac.first_chunk().map_or(0, |word| u32::from_be_bytes(*word)))
    }
}

impl Segment {
    fn of(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(ETHERNET_HEADER..)?;
        let header: &[u8; IPV4_HEADER] = packet.first_chunk()?;
        let [version_ihl, _, _, _, _, _, _, _, _, TCP, _, _, from @ .., a, b, c, d] = header else {
            return None;
        };
        if frame.get(12..14) != Some(&[0x08, 0x00]) || version_ihl >> 4 != 4 {
            return None;
        }
        let start = usize::from(version_ihl & 0xf).saturating_mul(4).max(IPV4_HEADER);
        let tcp: &[u8; 14] = packet.get(start..)?.first_chunk()?;
        let [s0, s1, d0, d1, .., flags] = *tcp;
        let source: [u8; 4] = *from.first_chunk()?;
        Some(Self {
            at: ETHERNET_HEADER.saturating_add(start),
            source: SocketAddrV4::new(Ipv4Addr::from(source), u16::from_be_bytes([s0, s1])),
            destination: SocketAddrV4::new(Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([d0, d1])),
            flags,
        })
    }
}

fn word_at(frame: &mut [u8], at: usize) -> Option<&mut [u8; 4]> {
    frame.get_mut(at..)?.first_chunk_mut()
}
