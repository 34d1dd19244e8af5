//! Pings longer than a frame (RFC 791, section 3.2; RFC 792): their fragments are put together here and answered in
//! fragments. Nothing else that comes in fragments is put together, and nothing of it reaches the stack above.
//!
//! Memory is bounded: [`PLACES`] messages of [`LONGEST`] bytes, made when first needed. A message whose fragments overlap
//! or contradict each other is dropped whole, as RFC 5722 demands for IPv6. A message holds its place for [`TIMEOUT`].
//! Without a free place the sender with the most messages loses its oldest: neither can first fragments without a second
//! shut anybody out, nor can one sender's displace another's. Whoever forges senders' addresses can do both for a while.

use super::checksum;
use super::ingress::{IPV4_HEADER, is_station};
use super::settings::Settings;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use virtio_pci::net::link::{ETHERNET_HEADER, Frame, Link, MacAddr};

/// Bytes of the longest ICMP message that is put together.
const LONGEST: usize = 8192;
/// Messages that may be incomplete at a time.
const PLACES: usize = 4;
/// How long a message may be incomplete.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What the offset of a fragment counts.
const BLOCK: usize = 8;
const WORDS: usize = LONGEST / BLOCK / 64;

const ICMP: u8 = 1;
/// Type and code of an echo request.
const ECHO_REQUEST: [u8; 2] = [8, 0];
const TIME_TO_LIVE: u8 = 64;
const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// What one fragment says.
#[derive(Clone, Copy, Debug)]
struct Fragment<'a> {
    mac: MacAddr,
    key: Key,
    /// Bytes of the message before this fragment.
    start: usize,
    last: bool,
    data: &'a [u8],
}

/// What the fragments of a message have in common; they are for this station and of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    from: Ipv4Addr,
    id: u16,
}

impl<'a> Fragment<'a> {
    /// Reads a frame that [`super::ingress::admit`] took for a fragment; `None` if it is not one of a ping for this
    /// station, or breaks a rule.
    fn read(frame: &'a [u8], mac: MacAddr, settings: Settings) -> Option<Self> {
        let (ethernet, packet) = frame.split_first_chunk::<ETHERNET_HEADER>()?;
        let header: &[u8; IPV4_HEADER] = packet.first_chunk()?;
        let [version_ihl, _, len_a, len_b, id_a, id_b, off_a, off_b, _, protocol, _, _, addresses @ ..] =
            *header;
        let [a, b, c, d, own @ ..] = addresses;
        let from = Ipv4Addr::new(a, b, c, d);
        let [to_mac @ .., fa, fb, fc, fd, fe, ff, _, _] = *ethernet;
        let peer = MacAddr([fa, fb, fc, fd, fe, ff]);
        let for_us = to_mac == mac.0 && Ipv4Addr::from(own) == settings.address;
        let from_a_host = peer.is_station() && is_station(from) && !settings.is_of_the_network(from);
        // Options would have to be answered: a ping has none.
        if !for_us || !from_a_host || version_ihl != 0x45 || protocol != ICMP {
            return None;
        }
        let data = packet.get(IPV4_HEADER..usize::from(u16::from_be_bytes([len_a, len_b])))?;
        let word = u16::from_be_bytes([off_a, off_b]);
        let start = usize::from(word & OFFSET).saturating_mul(BLOCK);
        let last = word & MORE == 0;
        let asks = start != 0 || data.starts_with(&ECHO_REQUEST);
        let fits = start.saturating_add(data.len()) <= LONGEST;
        let key = Key { from, id: u16::from_be_bytes([id_a, id_b]) };
        (!data.is_empty() && asks && fits).then_some(Self { mac: peer, key, start, last, data })
    }
}

/// A message of which fragments have come.
#[derive(Debug)]
struct Message {
    /// The station that its first fragment came from: a host of this network, or a router.
    mac: MacAddr,
    key: Key,
    since: Duration,
    bytes: Vec<u8>,
    /// A bit for each block that has come.
    blocks: [u64; WORDS],
    /// Bytes that have come, and the end of the one furthest back.
    have: usize,
    end: usize,
    /// Bytes of all of it, once the last fragment has come.
    total: Option<usize>,
}

impl Message {
    /// Without memory there is no message.
    fn new(mac: MacAddr, key: Key, since: Duration) -> Option<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(LONGEST).ok()?;
        bytes.resize(LONGEST, 0);
        Some(Self { mac, key, since, bytes, blocks: [0; WORDS], have: 0, end: 0, total: None })
    }

    /// Whether the fragment agrees with those that have come; then it is taken.
    fn add(&mut self, fragment: &Fragment<'_>) -> bool {
        let end = fragment.start.saturating_add(fragment.data.len());
        let total = if fragment.last { Some(end) } else { self.total };
        if (fragment.last && self.total.is_some()) || total.is_some_and(|total| end.max(self.end) > total) {
            return false;
        }
        for block in (fragment.start..end).step_by(BLOCK) {
            let number = block / BLOCK;
            let Some(word) = self.blocks.get_mut(number / 64) else { return false };
            let bit = 1u64 << (number % 64);
            if *word & bit != 0 {
                return false;
            }
            *word |= bit;
        }
        let Some(place) = self.bytes.get_mut(fragment.start..end) else { return false };
        place.copy_from_slice(fragment.data);
        self.have = self.have.saturating_add(fragment.data.len());
        self.end = self.end.max(end);
        self.total = total;
        true
    }

    /// The message, when all of it has come. Nothing came twice and nothing lies beyond its end.
    fn whole(&mut self) -> Option<&mut [u8]> {
        let total = self.total.filter(|&total| total == self.have)?;
        self.bytes.get_mut(..total)
    }
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is dropped, with those that it contradicts, or waits for others.
    Fragment,
    /// It was the last of a ping, which is answered.
    Answered,
    /// It was the last of a ping, and there was no room for all of the answer.
    NoRoom,
    /// It was the last of a message whose checksum is wrong.
    Checksum,
}

/// The messages of which fragments have come, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    messages: Vec<Message>,
}

impl Fragments {
    /// Takes a frame that has a fragment in it. What is answered goes to the link at once.
    pub fn take<L: Link>(
        &mut self,
        frame: &[u8],
        settings: Option<Settings>,
        now: Duration,
        link: &mut L,
    ) -> Taken {
        let Some(settings) = settings else { return Taken::Fragment };
        let Some(fragment) = Fragment::read(frame, link.mac(), settings) else { return Taken::Fragment };
        self.messages.retain(|message| now.saturating_sub(message.since) <= TIMEOUT);
        let Some(place) = self.place(&fragment, now) else { return Taken::Fragment };
        let Some(message) = self.messages.get_mut(place) else { return Taken::Fragment };
        let agrees = message.add(&fragment);
        let taken = match message.whole() {
            Some(whole) if agrees => answer(whole, &fragment, settings.address, link),
            None if agrees => return Taken::Fragment,
            _ => Taken::Fragment,
        };
        self.messages.remove(place);
        taken
    }

    /// Where the message of a fragment is, which may be its first.
    fn place(&mut self, fragment: &Fragment<'_>, now: Duration) -> Option<usize> {
        let (mac, key) = (fragment.mac, fragment.key);
        if let Some(place) = self.messages.iter().position(|message| message.key == key) {
            return Some(place);
        }
        if self.messages.len() >= PLACES
            && let Some(place) = self.to_displace(mac, key.from)
        {
            self.messages.remove(place);
        }
        self.messages.push(Message::new(mac, key, now)?);
        self.messages.len().checked_sub(1)
    }

    /// The message that makes room for another of this station and address: the oldest of the address with the most
    /// messages, of the station with the most. Behind a router, all addresses are of one station.
    fn to_displace(&self, mac: MacAddr, from: Ipv4Addr) -> Option<usize> {
        let of_station = |mac| self.messages.iter().filter(|message| message.mac == mac).count();
        let of_address = |from| self.messages.iter().filter(|message| message.key.from == from).count();
        let held = |message: &Message| {
            let station = of_station(message.mac).saturating_add((message.mac == mac).into());
            let address = of_address(message.key.from).saturating_add((message.key.from == from).into());
            (station, address)
        };
        // Of equals, `max_by_key` returns the last; in this order that is the oldest.
        let newest_first = self.messages.iter().enumerate().rev();
        newest_first.max_by_key(|(_, message)| held(message)).map(|(place, _)| place)
    }
}

/// Makes a request its answer and sends it, to the station that the last fragment came from. Its id is the request's:
/// whoever made that one unique among what it sends has made the answers unique, too (RFC 6864, section 4.3).
fn answer<L: Link>(message: &mut [u8], fragment: &Fragment<'_>, own: Ipv4Addr, link: &mut L) -> Taken {
    if checksum::of(message) != 0 {
        return Taken::Checksum;
    }
    if let Some(start) = message.first_chunk_mut::<4>() {
        *start = [0; 4];
    }
    let sum = checksum::of(message).to_ne_bytes();
    if let Some([_, _, place @ ..]) = message.first_chunk_mut::<4>() {
        *place = sum;
    }
    let most = usize::from(link.mtu()).saturating_sub(IPV4_HEADER) & !(BLOCK.wrapping_sub(1));
    let mut start = 0_usize;
    for part in message.chunks(most.max(BLOCK)) {
        let next = start.saturating_add(part.len());
        let more = if next < message.len() { MORE } else { 0 };
        let word = u16::try_from(start / BLOCK).unwrap_or(OFFSET) | more;
        let len = ETHERNET_HEADER.saturating_add(IPV4_HEADER).saturating_add(part.len());
        let Some(mut frame) = link.frame(len) else { return Taken::NoRoom };
        write(&mut frame, fragment, own, link.mac(), word, part);
        link.transmit(frame);
        start = next;
    }
    Taken::Answered
}

/// Writes one fragment of an answer into a frame that is as long.
fn write(frame: &mut Frame, of: &Fragment<'_>, own: Ipv4Addr, mac: MacAddr, word: u16, part: &[u8]) {
    let bytes = frame.bytes_mut();
    if let Some((ethernet, packet)) = bytes.split_first_chunk_mut::<ETHERNET_HEADER>()
        && let Some((header, data)) = packet.split_first_chunk_mut::<IPV4_HEADER>()
    {
        let [a, b, c, d, e, f] = of.mac.0;
        let [g, h, i, j, k, l] = mac.0;
        *ethernet = [a, b, c, d, e, f, g, h, i, j, k, l, 0x08, 0x00];
        let total = IPV4_HEADER.saturating_add(part.len());
        let [len_a, len_b] = u16::try_from(total).unwrap_or(u16::MAX).to_be_bytes();
        let ([id_a, id_b], [off_a, off_b]) = (of.key.id.to_be_bytes(), word.to_be_bytes());
        let ([m, n, o, p], [q, r, s, t]) = (own.octets(), of.key.from.octets());
        *header = [
            0x45,
            0,
            len_a,
            len_b,
            id_a,
            id_b,
            off_a,
            off_b,
            TIME_TO_LIVE,
            ICMP,
            0,
            0,
            m,
            n,
            o,
            p,
            q,
            r,
            s,
            t,
        ];
        if data.len() == part.len() {
            data.copy_from_slice(part);
        }
    }
    checksum::fill(bytes);
}
