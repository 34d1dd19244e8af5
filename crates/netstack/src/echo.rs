//! Echo on port 7 over UDP and TCP (RFC 862): everything received goes back to where it came from.

use super::isn::Ends;
use super::listeners::{ListenerConfig, Listeners};
use super::sockets::Sockets;
use super::udp_queue::UdpQueue;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::wire::IpAddress;

/// The service's port.
pub const ECHO_PORT: u16 = 7;

/// Most connections served at once; the next one is refused.
pub const CONNECTIONS: usize = 8;
/// Additional sockets for handshakes.
const SPARE: usize = 4;
/// Bytes that one connection may have waiting in each direction.
const TCP_BUFFER: usize = 32 * 1024;
/// Datagrams, and bytes of them, that may wait in each direction.
const DATAGRAMS: usize = 64;
const UDP_BUFFER: usize = 128 * 1024;
/// Bytes moved from a receive to a send buffer at once, and the largest datagram.
const CHUNK: usize = 16 * 1024;
/// Bytes of an IPv4 and a UDP header.
const UDP_HEADERS: usize = 28;

/// What the echo service has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EchoCounters {
    /// UDP datagrams sent back.
    pub datagrams: u64,
    /// Bytes in them.
    pub udp_bytes: u64,
    /// Datagrams without an answer: from the echo port, longer than a datagram that can be sent, or unaddressable.
    pub unanswered: u64,
    /// Times that all waiting answers were dropped because the first could not be delivered.
    pub stalls: u64,
    /// TCP connections accepted.
    pub connections: u64,
    /// Bytes sent back over them.
    pub tcp_bytes: u64,
    /// Half-open or closing connections that were aborted to make room for another peer.
    pub displaced: u64,
}

/// The sockets of the service.
pub(super) struct Echo {
    pub counters: EchoCounters,
    udp: SocketHandle,
    queue: UdpQueue,
    /// Longest answer.
    longest: usize,
    connections: Listeners,
    chunk: Vec<u8>,
}

impl Echo {
    /// Opens the service on a link with this MTU.
    pub fn new(sockets: &mut Sockets, mtu: u16) -> Self {
        let datagrams = || {
            let records = alloc::vec![udp::PacketMetadata::EMPTY; DATAGRAMS];
            udp::PacketBuffer::new(records, alloc::vec![0; UDP_BUFFER])
        };
        let mut udp = udp::Socket::new(datagrams(), datagrams());
        open_udp(&mut udp);
        let udp = sockets.udp.change().add(udp);
        let config = ListenerConfig {
            port: ECHO_PORT,
            most: CONNECTIONS,
            spare: SPARE,
            receive: TCP_BUFFER,
            send: TCP_BUFFER,
            nagle: false,
        };
        let connections = Listeners::new(&mut sockets.tcp, &config);
        let (counters, queue) = (EchoCounters::default(), UdpQueue::default());
        let longest = usize::from(mtu).saturating_sub(UDP_HEADERS);
        Self { counters, udp, queue, longest, connections, chunk: alloc::vec![0; CHUNK] }
    }

    /// Sends back the datagrams that have arrived, as far as there is room; true if some have to wait.
    pub fn step_udp(
        &mut self,
        sockets: &mut SocketSet<'static>,
        own: Option<Ipv4Addr>,
        now: Duration,
    ) -> bool {
        let udp = sockets.get_mut::<udp::Socket<'_>>(self.udp);
        if self.queue.stalled(udp.send_queue(), udp.can_recv(), now) {
            udp.close();
            open_udp(udp);
            self.queue = UdpQueue::default();
            self.counters.stalls = self.counters.stalls.wrapping_add(1);
        }
        self.answer(udp, own, now);
        udp.can_recv()
    }

    /// Sends back the bytes that have arrived over connections, as far as send buffers have room; the rest waits until
    /// the peer has read some. Moves at most the contents of all receive buffers.
    pub fn step_tcp(&mut self, sockets: &mut SocketSet<'static>) {
        let Self { connections, chunk, counters, .. } = self;
        connections.step(sockets, |_, socket, new| {
            counters.connections = counters.connections.wrapping_add(new.into());
            send_back(socket, chunk, counters);
        });
    }

    /// Makes room for a peer that is about to connect.
    pub fn make_room(&mut self, sockets: &mut SocketSet<'static>, asker: Ends) {
        self.connections.make_room(sockets, asker);
        self.counters.displaced = self.connections.displaced;
    }

    /// Makes sockets of ended connections listen again.
    pub fn listen(&mut self, sockets: &mut SocketSet<'static>) {
        self.connections.listen(sockets);
    }

    fn answer(&mut self, socket: &mut udp::Socket<'static>, own: Option<Ipv4Addr>, now: Duration) {
        let counters = &mut self.counters;
        for _ in 0..DATAGRAMS {
            let Ok((len, from)) = socket.peek_slice(&mut self.chunk) else {
                // Empty, or a datagram longer than any frame: not one that was received.
                return;
            };
            let mut to = *from;
            // An answer to a broadcast comes from the machine's own address.
            to.local_address = to.local_address.filter(|&at| Some(at) == own.map(IpAddress::Ipv4));
            // A forged sender must not make two echo services answer each other for ever, and nothing is sent in
            // fragments.
            let answer = if to.endpoint.port == ECHO_PORT || len > self.longest {
                Err(udp::SendError::Unaddressable)
            } else {
                socket.send_slice(self.chunk.get(..len).unwrap_or_default(), to)
            };
            match answer {
                Ok(()) => {
                    self.queue.enqueued(len, now);
                    counters.datagrams = counters.datagrams.wrapping_add(1);
                    counters.udp_bytes = counters.udp_bytes.wrapping_add(len as u64);
                }
                Err(udp::SendError::BufferFull) => return,
                Err(udp::SendError::Unaddressable) => {
                    counters.unanswered = counters.unanswered.wrapping_add(1);
                }
            }
            // Drop the peeked datagram, answered or not.
            let _ = socket.recv();
        }
    }
}

fn open_udp(socket: &mut udp::Socket<'static>) {
    // `bind` cannot fail: the port is not 0 and the socket is closed.
    let _ = socket.bind(ECHO_PORT);
}

fn send_back(socket: &mut tcp::Socket<'static>, chunk: &mut [u8], counters: &mut EchoCounters) {
    for _ in 0..TCP_BUFFER.div_ceil(CHUNK).saturating_add(1) {
        let room = socket.send_capacity().saturating_sub(socket.send_queue());
        let room = room.min(chunk.len());
        if room == 0 || !socket.can_recv() || !socket.may_send() {
            break;
        }
        let received = socket.recv_slice(chunk.get_mut(..room).unwrap_or_default()).unwrap_or(0);
        let sent = socket.send_slice(chunk.get(..received).unwrap_or_default()).unwrap_or(0);
        counters.tcp_bytes = counters.tcp_bytes.wrapping_add(sent as u64);
    }
    // The peer has closed its side, and everything is sent back or in the send buffer.
    if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
        socket.close();
    }
}
