//! Ethernet, ARP, IPv4, ICMP and TCP frames: an implementation that shares no code with the guest's stack.

/// A MAC address.
pub type Mac = [u8; 6];
/// An IPv4 address.
pub type Ip = [u8; 4];

/// All peers.
pub const BROADCAST: Mac = [0xff; 6];
/// ICMP type of an echo request.
pub const ECHO_REQUEST: u8 = 8;
/// ICMP type of an echo reply.
pub const ECHO_REPLY: u8 = 0;
/// TCP flag: opens a connection.
pub const SYN: u8 = 0x02;
/// TCP flag: ends a connection at once.
pub const RST: u8 = 0x04;
/// TCP flag: `acknowledged` is valid.
pub const ACK: u8 = 0x10;
/// IP protocol of UDP.
pub const UDP: u8 = 17;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const ICMP: u8 = 1;
const TCP: u8 = 6;

/// A parsed frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// ARP for IPv4 over Ethernet.
    Arp {
        /// 1 asks, 2 answers.
        operation: u16,
        /// Sender's hardware address.
        from: Mac,
        /// Sender's address.
        from_ip: Ip,
        /// The address asked for, or the asker's.
        to_ip: Ip,
    },
    /// ICMP echo request or reply.
    Echo {
        /// [`ECHO_REQUEST`] or [`ECHO_REPLY`].
        kind: u8,
        /// Sender's hardware address.
        from: Mac,
        /// Sender.
        from_ip: Ip,
        /// Receiver.
        to_ip: Ip,
        /// Identifier and sequence number.
        tag: [u8; 4],
        /// Payload.
        data: Vec<u8>,
    },
    /// A TCP segment without options that matter here.
    Tcp(Segment),
    /// Any other IPv4 packet.
    Other {
        /// IP protocol.
        protocol: u8,
    },
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sender's and receiver's port.
    pub ports: (u16, u16),
    /// Number of the first byte.
    pub sequence: u32,
    /// Number of the byte that is expected next.
    pub acknowledged: u32,
    /// [`SYN`], [`ACK`], [`RST`] and others.
    pub flags: u8,
    /// Payload.
    pub data: Vec<u8>,
}

/// The Internet checksum (RFC 1071) over the bytes; 0 if they contain a correct one.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Builds an ARP frame.
#[must_use]
pub fn arp(operation: u16, from: (Mac, Ip), to: (Mac, Ip)) -> Vec<u8> {
    let mut frame = ethernet(if operation == 1 { BROADCAST } else { to.0 }, from.0, ARP);
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(from.0);
    frame.extend(from.1);
    frame.extend(if operation == 1 { [0; 6] } else { to.0 });
    frame.extend(to.1);
    frame.resize(60, 0);
    frame
}

/// Builds an ICMP echo frame.
#[must_use]
pub fn echo(kind: u8, from: (Mac, Ip), to: (Mac, Ip), tag: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut icmp = vec![kind, 0, 0, 0];
    icmp.extend(tag);
    icmp.extend(data);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(ICMP, from, to, &icmp)
}

/// Builds a TCP frame.
#[must_use]
pub fn tcp(from: (Mac, Ip), to: (Mac, Ip), segment: &Segment) -> Vec<u8> {
    let mut bytes = [segment.ports.0.to_be_bytes(), segment.ports.1.to_be_bytes()].concat();
    bytes.extend(segment.sequence.to_be_bytes());
    bytes.extend(segment.acknowledged.to_be_bytes());
    // Five words of header, a window of 8 KiB.
    bytes.extend([0x50, segment.flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend(&segment.data);
    let sum = checksum(&with_pseudo_header(from.1, to.1, &bytes));
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(TCP, from, to, &bytes)
}

/// The bytes of TCP's checksum: pseudo-header and segment (RFC 9293, 3.1).
fn with_pseudo_header(from: Ip, to: Ip, segment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    [&from[..], &to[..], &[0, TCP], &length.to_be_bytes()[..], segment].concat()
}

fn read_tcp(from: Ip, to: Ip, bytes: &[u8]) -> Option<Frame> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let header = usize::from(bytes.get(12)? >> 4) * 4;
    let segment = Segment {
        ports: (port(0)?, port(2)?),
        sequence: word(4)?,
        acknowledged: word(8)?,
        flags: *bytes.get(13)?,
        data: bytes.get(header.max(20)..)?.to_vec(),
    };
    (checksum(&with_pseudo_header(from, to, bytes)) == 0).then_some(Frame::Tcp(segment))
}

fn ethernet(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes()[..]].concat()
}

fn ipv4(protocol: u8, from: (Mac, Ip), to: (Mac, Ip), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(from.1);
    header.extend(to.1);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(to.0, from.0, IPV4);
    frame.extend(header);
    frame.extend(payload);
    let length = frame.len().max(60);
    frame.resize(length, 0);
    frame
}

/// Reads a frame; `None` if it is of another kind, truncated, or has a wrong checksum.
#[must_use]
pub fn parse(frame: &[u8]) -> Option<Frame> {
    let from: Mac = frame.get(6..12)?.try_into().ok()?;
    let body = frame.get(14..)?;
    match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        ARP if body.get(..6)? == [0, 1, 8, 0, 6, 4] => Some(Frame::Arp {
            operation: u16::from_be_bytes(body.get(6..8)?.try_into().ok()?),
            from: body.get(8..14)?.try_into().ok()?,
            from_ip: body.get(14..18)?.try_into().ok()?,
            to_ip: body.get(24..28)?.try_into().ok()?,
        }),
        IPV4 => {
            let header = body.get(..20)?;
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            if header[0] != 0x45 || checksum(header) != 0 {
                return None;
            }
            let payload = body.get(20..length)?;
            let ips = || (header[12..16].try_into().ok(), header[16..20].try_into().ok());
            if let (TCP, (Some(from), Some(to))) = (header[9], ips()) {
                return read_tcp(from, to, payload);
            }
            if header[9] != ICMP {
                return Some(Frame::Other { protocol: header[9] });
            }
            let &[kind @ (ECHO_REQUEST | ECHO_REPLY), 0, _, _, a, b, c, d, ref data @ ..] = payload else {
                return None;
            };
            (checksum(payload) == 0).then(|| Frame::Echo {
                kind,
                from,
                from_ip: [header[12], header[13], header[14], header[15]],
                to_ip: [header[16], header[17], header[18], header[19]],
                tag: [a, b, c, d],
                data: data.to_vec(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: (Mac, Ip) = ([2, 0, 0, 0, 0, 1], [192, 0, 2, 1]);
    const THEM: (Mac, Ip) = ([2, 0, 0, 0, 0, 2], [192, 0, 2, 2]);

    #[test]
    fn the_checksum_is_the_one_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[1]), !0x0100);
    }

    #[test]
    fn built_frames_are_parsed_back() {
        let frame = echo(ECHO_REQUEST, US, THEM, [1, 2, 3, 4], b"hello");
        let expected = Frame::Echo {
            kind: ECHO_REQUEST,
            from: US.0,
            from_ip: US.1,
            to_ip: THEM.1,
            tag: [1, 2, 3, 4],
            data: b"hello".to_vec(),
        };
        assert_eq!(parse(&frame), Some(expected));
        let frame = arp(1, US, ([0; 6], THEM.1));
        assert_eq!((frame.len(), &frame[..6]), (60, &BROADCAST[..]));
        let expected = Frame::Arp { operation: 1, from: US.0, from_ip: US.1, to_ip: THEM.1 };
        assert_eq!(parse(&frame), Some(expected));
    }

    #[test]
    fn a_segment_is_parsed_back_and_a_changed_byte_is_refused() {
        let segment = Segment {
            ports: (4000, 7),
            sequence: 1,
            acknowledged: 2,
            flags: SYN | ACK,
            data: b"odd".to_vec(),
        };
        let good = tcp(US, THEM, &segment);
        assert_eq!(parse(&good), Some(Frame::Tcp(segment)));
        for at in 14..14 + 20 + 23 {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_ne!(parse(&bad), parse(&good), "byte {at}");
        }
    }

    #[test]
    fn a_changed_byte_and_short_frames_are_refused() {
        let good = echo(ECHO_REPLY, US, THEM, [0; 4], &[7; 100]);
        for at in 14..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_ne!(parse(&bad), parse(&good), "byte {at}");
        }
        for length in 0..good.len() {
            assert_eq!(parse(&good[..length]), None);
        }
    }
}
