//! Filters received frames before `smoltcp` sees them.
//!
//! `smoltcp` answers what it parses, and asserts that the address of an answer is a unicast address (`smoltcp` 0.14,
//! `iface/interface/mod.rs`, `iface/neighbor.rs`). A frame whose source cannot be answered is dropped here, so that no
//! frame can trigger that assertion.

use super::checksum::{TCP, UDP};
use core::net::Ipv4Addr;
use virtio_pci::net::link::ETHERNET_HEADER;

/// Bytes of an IPv4 header without options.
pub(super) const IPV4_HEADER: usize = 20;

/// What an admitted frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Address resolution.
    Arp,
    /// An ICMP echo request.
    EchoRequest,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// Any other IPv4 packet.
    Other,
}

/// Why a frame is dropped before the stack sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reject {
    /// Shorter than its headers say, or an invalid IPv4 header.
    Malformed,
    /// Neither ARP nor IPv4.
    Protocol,
    /// A source address that no station can have.
    Source,
    /// A fragment, which is nothing for the stack: see [`super::fragments`].
    Fragment,
    /// A wrong checksum of an IPv4 header, of TCP or UDP.
    Checksum,
}

/// Whether a frame has a priority tag without a VLAN (IEEE 802.1Q, 6.9.1: VID 0). Without the tag it is a frame of the
/// untagged network.
pub(super) fn has_priority_tag(frame: &[u8]) -> bool {
    matches!(frame.get(12..16), Some([0x81, 0x00, a, 0]) if a & 0x0f == 0)
}

/// Checks the headers of one Ethernet frame.
pub(super) fn admit(frame: &[u8]) -> Result<Kind, Reject> {
    let (header, payload) = frame.split_at_checked(ETHERNET_HEADER).ok_or(Reject::Malformed)?;
    match header {
        [.., 0x08, 0x06] => Ok(Kind::Arp),
        [.., 0x08, 0x00] => ipv4(payload),
        _ => Err(Reject::Protocol),
    }
}

/// Checks the header of an IPv4 packet (RFC 791, section 3.1).
fn ipv4(packet: &[u8]) -> Result<Kind, Reject> {
    let header: &[u8; IPV4_HEADER] = packet.first_chunk().ok_or(Reject::Malformed)?;
    let [version_ihl, _, _, _, _, _, flags, offset, _, protocol, _, _, a, b, c, d, ..] = *header;
    let header_len = usize::from(version_ihl & 0xf).saturating_mul(4);
    if version_ihl >> 4 != 4 || header_len < IPV4_HEADER {
        return Err(Reject::Malformed);
    }
    let body = packet.get(header_len..).ok_or(Reject::Malformed)?;
    if !is_station(Ipv4Addr::new(a, b, c, d)) {
        return Err(Reject::Source);
    }
    // More-fragments flag or a fragment offset.
    if flags & 0x3f != 0 || offset != 0 {
        return Err(Reject::Fragment);
    }
    match (protocol, body.first()) {
        (1, Some(8)) => Ok(Kind::EchoRequest),
        (TCP, _) => Ok(Kind::Tcp),
        (UDP, _) => Ok(Kind::Udp),
        _ => Ok(Kind::Other),
    }
}

/// Whether a host on a network can have `address` (RFC 1122, section 3.2.1.3).
pub(super) fn is_station(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && !address.is_loopback() && !address.is_multicast() && !address.is_broadcast()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Reject, admit};
    use std::vec::Vec;

    fn ipv4_frame(source: [u8; 4], protocol: u8, flags: u8, offset: u8) -> Vec<u8> {
        let mut frame = std::vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 21, 0, 0, flags, offset, 64, protocol, 0, 0]);
        frame.extend(source);
        frame.extend([10, 0, 0, 1, 8]);
        frame
    }

    #[test]
    fn unanswerable_sources_are_rejected() {
        for source in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
            assert_eq!(admit(&ipv4_frame(source, 17, 0, 0)), Err(Reject::Source), "{source:?}");
        }
        for (protocol, kind) in [(17, Kind::Udp), (6, Kind::Tcp), (1, Kind::EchoRequest), (2, Kind::Other)] {
            assert_eq!(admit(&ipv4_frame([10, 0, 0, 2], protocol, 0, 0)), Ok(kind));
        }
    }

    #[test]
    fn fragments_are_rejected_and_the_do_not_fragment_flag_is_not_one() {
        let from = [10, 0, 0, 2];
        assert_eq!(admit(&ipv4_frame(from, 17, 0x20, 0)), Err(Reject::Fragment));
        assert_eq!(admit(&ipv4_frame(from, 17, 0x01, 0)), Err(Reject::Fragment));
        assert_eq!(admit(&ipv4_frame(from, 17, 0, 1)), Err(Reject::Fragment));
        assert_eq!(admit(&ipv4_frame(from, 1, 0x40, 0)), Ok(Kind::EchoRequest));
    }

    #[test]
    fn short_and_foreign_frames_are_rejected() {
        assert_eq!(admit(&[0; 13]), Err(Reject::Malformed));
        assert_eq!(admit(&[0; 60]), Err(Reject::Protocol));
        let frame = ipv4_frame([10, 0, 0, 2], 17, 0, 0);
        assert_eq!(admit(&frame[..33]), Err(Reject::Malformed));
        let mut long_options = frame.clone();
        long_options[14] = 0x4f;
        assert_eq!(admit(&long_options), Err(Reject::Malformed));
        let mut no_header = frame;
        no_header[14] = 0x44;
        assert_eq!(admit(&no_header), Err(Reject::Malformed));
    }
}
