//! The checksums of IPv4 headers, and of TCP and UDP over IPv4 (RFC 1071, RFC 791, RFC 768, RFC 9293 section 3.1), made
//! and verified here, eight bytes per addition. `smoltcp`, which would add two bytes at a time, is told that the device
//! does it.

use super::ingress::{IPV4_HEADER, Kind, Reject};
use core::ops::Range;
use virtio_pci::net::link::ETHERNET_HEADER;

/// Protocol numbers of IPv4; offsets of the checksum in a frame (IPv4), and in the IPv4 payload (TCP, UDP).
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const HEADER_CHECKSUM: usize = ETHERNET_HEADER + 10;
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;
/// Bytes of the shortest headers.
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// Verifies the IPv4 header of an admitted frame, and the checksum of TCP and UDP. `smoltcp` verifies other protocols.
pub(super) fn verify(frame: &[u8], kind: Kind) -> Result<(), Reject> {
    if kind == Kind::Arp {
        return Ok(());
    }
    let (header, packet) = ipv4(frame).ok_or(Reject::Malformed)?;
    if header_sum(header, packet).ok_or(Reject::Malformed)? != u16::MAX {
        return Err(Reject::Checksum);
    }
    if !matches!(kind, Kind::Tcp | Kind::Udp) {
        return Ok(());
    }
    let Covered { bytes, at, pseudo } = Covered::of(header, packet).ok_or(Reject::Malformed)?;
    let body = frame.get(bytes).unwrap_or_default();
    // In UDP only, 0 means that there is no checksum.
    let none = kind == Kind::Udp && frame.get(at..).and_then(<[u8]>::first_chunk) == Some(&[0; 2]);
    if none || fold(sum(body, pseudo)) == u16::MAX { Ok(()) } else { Err(Reject::Checksum) }
}

/// Writes the checksums into a frame that the stack made, if the frame has any.
pub(super) fn fill(frame: &mut [u8]) {
    let Some((header, packet)) = ipv4(frame) else { return };
    let covered = Covered::of(header, packet);
    // Subtracts the old word by adding its complement (RFC 1624).
    let [.., old_a, old_b, _, _, _, _, _, _, _, _] = *header;
    let old = u64::from(!u16::from_ne_bytes([old_a, old_b]));
    if let Some(sum) = header_sum(header, packet)
        && let Some(place) = frame.get_mut(HEADER_CHECKSUM..).and_then(<[u8]>::first_chunk_mut)
    {
        *place = (!fold(u64::from(sum).wrapping_add(old))).to_ne_bytes();
    }
    let Some(Covered { bytes, at, pseudo }) = covered else { return };
    let Some(place) = frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) else { return };
    *place = [0; 2];
    let checksum = !fold(sum(frame.get(bytes).unwrap_or_default(), pseudo));
    if let Some(place) = frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        // Ones' complement has two zeros. UDP uses 0 for "no checksum", so send 0xffff; TCP accepts either.
        *place = if checksum == 0 { [0xff; 2] } else { checksum.to_ne_bytes() };
    }
}

/// The checksum of an ICMP message, in the order of bytes in which it is stored: 0 with a right one in it.
#[inline(never)]
pub(super) fn of(message: &[u8]) -> u16 {
    !fold(sum(message, 0))
}

/// The header without options of an IPv4 packet in a frame, and the whole packet.
#[inline]
fn ipv4(frame: &[u8]) -> Option<(&[u8; IPV4_HEADER], &[u8])> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET_HEADER)?;
    let header: &[u8; IPV4_HEADER] = packet.first_chunk()?;
    let [version_ihl, ..] = header;
    (matches!(ethernet, [.., 0x08, 0x00]) && version_ihl >> 4 == 4).then_some((header, packet))
}

/// The sum of the words of an IPv4 header with its options; `None` if the packet is shorter.
#[inline]
fn header_sum(header: &[u8; IPV4_HEADER], packet: &[u8]) -> Option<u16> {
    let (words, _) = header.as_chunks::<4>();
    // Five words of 32 bits: their sum does not wrap.
    let plain = words.iter().fold(0u64, |sum, word| sum.wrapping_add(u32::from_ne_bytes(*word).into()));
    let [version_ihl, ..] = header;
    let options = match usize::from(version_ihl & 0xf).saturating_mul(4) {
        ..=IPV4_HEADER => plain,
        len => sum(packet.get(IPV4_HEADER..len)?, plain),
    };
    Some(fold(options))
}

/// The bytes that a checksum covers, and its offset in the frame.
struct Covered {
    bytes: Range<usize>,
    at: usize,
    /// Sum of the pseudo header.
    pseudo: u64,
}

impl Covered {
    /// `None` without TCP or UDP in it, or if it is shorter than its headers say.
    #[inline]
    fn of(header: &[u8; IPV4_HEADER], packet: &[u8]) -> Option<Self> {
        let [version_ihl, _, total_a, total_b, _, _, _, _, _, protocol, _, _, addresses @ ..] = header;
        let start = usize::from(version_ihl & 0xf).saturating_mul(4);
        let total = usize::from(u16::from_be_bytes([*total_a, *total_b]));
        let body = packet.get(start.max(IPV4_HEADER)..total)?;
        let (len, offset) = match (*protocol, body) {
            (TCP, [_, ..]) if body.len() >= TCP_HEADER => (body.len(), TCP_CHECKSUM),
            (UDP, [_, _, _, _, a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), UDP_CHECKSUM),
            _ => return None,
        };
        if len < UDP_HEADER || len > body.len() {
            return None;
        }
        let start = start.saturating_add(ETHERNET_HEADER);
        let length = u16::try_from(len).ok()?.to_be_bytes();
        let ([from, to], _) = addresses.as_chunks::<4>() else { return None };
        // Sums of 32 and 16 bits, which do not wrap.
        let addresses = u64::from(u32::from_ne_bytes(*from)).wrapping_add(u32::from_ne_bytes(*to).into());
        let others =
            u64::from(u16::from_ne_bytes([0, *protocol])).wrapping_add(u16::from_ne_bytes(length).into());
        let pseudo = addresses.wrapping_add(others);
        Some(Self { bytes: start..start.saturating_add(len), at: start.saturating_add(offset), pseudo })
    }
}

/// Adds 16-bit words of the machine's byte order, of which a doubleword holds four; an odd last byte is followed by 0.
/// The order of bytes in the result is that of the words (RFC 1071, section 2 (B)).
fn sum(bytes: &[u8], start: u64) -> u64 {
    // Adds doublewords with carry; a carry out of the highest bit counts as 1 (section 2 (C)).
    let (mut all, mut carried) = (0u64, 0u64);
    let (lines, rest) = bytes.as_chunks::<256>();
    for line in lines {
        // Unrolled, as the length of a quarter is known; each passes its carry to the next.
        let (half, other) = line.split_at(128);
        let ((a, b), (c, d)) = (half.split_at(64), other.split_at(64));
        let mut carry = false;
        (all, carry) = add(a.as_chunks().0, all, carry);
        (all, carry) = add(b.as_chunks().0, all, carry);
        (all, carry) = add(c.as_chunks().0, all, carry);
        (all, carry) = add(d.as_chunks().0, all, carry);
        carried = carried.wrapping_add(carry.into());
    }
    let mut more = |words: &[[u8; 8]]| {
        let carry;
        (all, carry) = add(words, all, false);
        carried = carried.wrapping_add(carry.into());
    };
    let (lines, rest) = rest.as_chunks::<64>();
    for line in lines {
        more(line.as_chunks().0);
    }
    let (words, rest) = rest.as_chunks();
    more(words);
    if !rest.is_empty() {
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        more(&[last]);
    }
    // Each half has 32 bits, and no packet is long enough for that many carries.
    (all >> 32).wrapping_add(all & 0xffff_ffff).wrapping_add(carried).wrapping_add(start)
}

/// Adds doublewords and a carry; returns the sum and the last carry.
#[inline(always)]
fn add(words: &[[u8; 8]], mut all: u64, mut carry: bool) -> (u64, bool) {
    for word in words {
        (all, carry) = all.carrying_add(u64::from_ne_bytes(*word), carry);
    }
    (all, carry)
}

/// The sum of the four words of a sum.
fn fold(sum: u64) -> u16 {
    let halves = (sum >> 32).wrapping_add(sum & 0xffff_ffff);
    let words = (halves >> 32).wrapping_add(halves >> 16 & 0xffff).wrapping_add(halves & 0xffff);
    let words = (words >> 16).wrapping_add(words & 0xffff);
    (words >> 16).wrapping_add(words & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{
        IpAddress, IpProtocol, Ipv4Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket,
    };
    use std::vec::Vec;
    use testkit::frames::{ipv4, udp};

    const FROM: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
    const TO: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

    fn tcp(payload: &[u8]) -> Vec<u8> {
        let segment = TcpRepr {
            src_port: 40000,
            dst_port: 7,
            control: TcpControl::Psh,
            seq_number: TcpSeqNumber(12_345_678),
            ack_number: Some(TcpSeqNumber(-2)),
            window_len: 4000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let mut bytes = std::vec![0; segment.buffer_len()];
        let (from, to) = (IpAddress::Ipv4(FROM), IpAddress::Ipv4(TO));
        segment.emit(&mut TcpPacket::new_unchecked(&mut bytes), &from, &to, &ChecksumCapabilities::default());
        ipv4(FROM, TO, IpProtocol::Tcp, &bytes)
    }

    /// RFC 1071 as it is written, in bytes.
    fn plain_sum(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&example, 0)).to_ne_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn sums_of_every_length_are_those_of_single_words() {
        let noise: Vec<u8> = (0..1600u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let ones = [0xff; 1600];
        for bytes in [&noise[..], &ones[..]] {
            for len in 0..bytes.len() {
                for start in 0..3.min(len) {
                    let part = &bytes[start..len];
                    assert_eq!(
                        fold(sum(part, 0)).to_ne_bytes(),
                        plain_sum(part).to_be_bytes(),
                        "{start}..{len}"
                    );
                }
            }
        }
    }

    #[test]
    fn filled_in_checksums_pass_another_implementation() {
        for len in 0..1460 {
            let payload: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
            let mut frame = udp(FROM, TO, (5000, 7), &payload);
            frame[14 + 20 + UDP_CHECKSUM..][..2].fill(0x55);
            frame[HEADER_CHECKSUM..][..2].fill(0x55);
            fill(&mut frame);
            assert_eq!(verify(&frame, Kind::Udp), Ok(()));
            let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
            assert!(packet.verify_checksum());
            let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
            assert!(datagram.checksum() != 0 && datagram.verify_checksum(&FROM.into(), &TO.into()), "{len}");
            let mut frame = tcp(&payload);
            frame[14 + 20 + TCP_CHECKSUM..][..2].fill(0x55);
            frame[HEADER_CHECKSUM..][..2].fill(0x55);
            fill(&mut frame);
            assert_eq!(verify(&frame, Kind::Tcp), Ok(()));
            let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
            assert!(packet.verify_checksum());
            let segment = TcpPacket::new_checked(packet.payload()).unwrap();
            assert!(segment.verify_checksum(&IpAddress::Ipv4(FROM), &IpAddress::Ipv4(TO)), "{len}");
        }
    }

    #[test]
    fn every_wrong_bit_is_found_and_padding_is_ignored() {
        for (frame, kind) in [(udp(FROM, TO, (5000, 7), b"payload"), Kind::Udp), (tcp(b"payload"), Kind::Tcp)]
        {
            assert_eq!(verify(&frame, kind), Ok(()));
            for bit in 8 * 14..8 * frame.len() {
                let mut wrong = frame.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(verify(&wrong, kind).is_err(), "{kind:?}, bit {bit}");
            }
            let mut padded = frame;
            padded.extend([0xaa; 7]);
            assert_eq!(verify(&padded, kind), Ok(()));
        }
    }

    #[test]
    fn the_header_checksum_covers_options_and_is_checked_for_any_payload() {
        let plain = udp(FROM, TO, (5000, 7), b"payload");
        let mut frame = plain[..34].to_vec();
        frame.extend([0x94, 4, 0, 0]);
        frame.extend(&plain[34..]);
        frame[14] = 0x46;
        let total = frame.len() as u16 - 14;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame[HEADER_CHECKSUM..][..2].fill(0);
        let checksum = !plain_sum(&frame[14..38]);
        frame[HEADER_CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());
        for kind in [Kind::Udp, Kind::EchoRequest, Kind::Other] {
            assert_eq!(verify(&frame, kind), Ok(()), "{kind:?}");
            for bit in 8 * 34..8 * 38 {
                let mut wrong = frame.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify(&wrong, kind), Err(Reject::Checksum), "{kind:?}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_datagram_may_have_no_checksum_and_a_segment_must() {
        let mut datagram = udp(FROM, TO, (5000, 7), b"payload");
        datagram[14 + 20 + UDP_CHECKSUM..][..2].fill(0);
        assert_eq!(verify(&datagram, Kind::Udp), Ok(()));
        let mut segment = tcp(b"payload");
        segment[14 + 20 + TCP_CHECKSUM..][..2].fill(0);
        assert_eq!(verify(&segment, Kind::Tcp), Err(Reject::Checksum));
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed() {
        for (frame, kind, least) in [(udp(FROM, TO, (5000, 7), b""), Kind::Udp, 8), (tcp(b""), Kind::Tcp, 20)]
        {
            for len in 0..frame.len() {
                assert_eq!(verify(&frame[..len], kind), Err(Reject::Malformed), "{len}");
            }
            for total in 0..20 + least {
                let mut wrong = frame.clone();
                wrong[16..18].copy_from_slice(&(total as u16).to_be_bytes());
                wrong[HEADER_CHECKSUM..][..2].fill(0);
                let checksum = !plain_sum(&wrong[14..34]);
                wrong[HEADER_CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());
                assert_eq!(verify(&wrong, kind), Err(Reject::Malformed), "{total}");
            }
        }
        for len in [0, 7, 9, u16::MAX] {
            let mut wrong = udp(FROM, TO, (5000, 7), b"");
            wrong[14 + 20 + 4..][..2].copy_from_slice(&len.to_be_bytes());
            assert_eq!(verify(&wrong, Kind::Udp), Err(Reject::Malformed), "{len}");
        }
    }
}
