//! ICMP echo requests that this machine sends (RFC 792).

use super::sockets::Group;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress};

/// Bytes of payload in a request, unless somebody wants another number.
pub(super) const PAYLOAD: usize = 56;
/// Bytes of an ICMP echo header.
const HEADER: usize = 8;
/// Most received messages that may wait.
const ANSWERS: usize = 4;

/// Makes echo requests, each with its own sequence number.
pub(super) struct Pinger {
    ident: u16,
    sequence: u16,
    /// Of the last request.
    payload: Vec<u8>,
}

/// One request and its socket. Call [`Question::end`] afterwards.
pub(super) struct Question {
    socket: SocketHandle,
    host: Ipv4Addr,
}

impl Pinger {
    /// A pinger. `ident` is visible on the network, so no secret may follow from it.
    pub fn new(ident: u16) -> Self {
        Self { ident, sequence: 0, payload: Vec::new() }
    }

    /// Queues a new request to `host` with so many bytes of payload: the one that `ping` is known for, the numbers of its
    /// bytes.
    pub fn ask(&mut self, sockets: &mut Group, host: Ipv4Addr, bytes: usize) -> Question {
        self.payload = (0..=u8::MAX).cycle().skip(HEADER).take(bytes).collect();
        let message = bytes.saturating_add(HEADER);
        let messages = |count: usize| {
            let records = alloc::vec![icmp::PacketMetadata::EMPTY; count];
            icmp::PacketBuffer::new(records, alloc::vec![0; message.saturating_mul(count)])
        };
        let mut socket = icmp::Socket::new(messages(ANSWERS), messages(1));
        // `bind` cannot fail: the socket is new.
        let _ = socket.bind(icmp::Endpoint::Ident(self.ident));
        self.sequence = self.sequence.wrapping_add(1);
        let request =
            Icmpv4Repr::EchoRequest { ident: self.ident, seq_no: self.sequence, data: &self.payload };
        // There is room for this message; an invalid address gets no answer.
        if let Ok(room) = socket.send(request.buffer_len(), IpAddress::Ipv4(host)) {
            // The checksum is computed when the packet leaves.
            request.emit(&mut Icmpv4Packet::new_unchecked(room), &ChecksumCapabilities::ignored());
        }
        Question { socket: sockets.change().add(socket), host }
    }

    /// Whether `message` answers the last request.
    fn is_answer(&self, message: &[u8]) -> bool {
        let Ok(packet) = Icmpv4Packet::new_checked(message) else { return false };
        match Icmpv4Repr::parse(&packet, &ChecksumCapabilities::ignored()) {
            Ok(Icmpv4Repr::EchoReply { ident, seq_no, data }) => {
                ident == self.ident && seq_no == self.sequence && data == self.payload
            }
            _ => false,
        }
    }
}

impl Question {
    /// Whether the request has left.
    pub fn asked(&self, sockets: &Group) -> bool {
        sockets.set.get::<icmp::Socket<'_>>(self.socket).send_queue() == 0
    }

    /// Whether the host has answered with the request's identifier, number and payload.
    pub fn answered(&self, sockets: &mut Group, pinger: &Pinger) -> bool {
        let socket = sockets.set.get_mut::<icmp::Socket<'_>>(self.socket);
        (0..ANSWERS).any(|_| match socket.recv() {
            Ok((message, from)) => from == IpAddress::Ipv4(self.host) && pinger.is_answer(message),
            Err(_) => false,
        })
    }

    /// Removes the request's socket.
    pub fn end(self, sockets: &mut Group) {
        drop(sockets.change().remove(self.socket));
    }
}
