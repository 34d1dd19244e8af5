//! One-way traffic for measurements: port 9 discards (RFC 863), port 19 sends (RFC 864), both over UDP and TCP. Open
//! only during a measurement.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use netstack::echo::ECHO_PORT;
use netstack::service::{Ends, ListenerConfig, Listeners, Service, Sockets, UdpQueue};
use netstack::settings::Settings;
use netstack::stack::{ServiceId, Stack};
use papr::parts::low_u8;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::wire::IpAddress;
use virtio_pci::net::link::Link;

/// Discards received bytes.
pub const DISCARD_PORT: u16 = 9;
/// Sends a pattern while the connection lasts, or one datagram for each that arrives.
pub const SOURCE_PORT: u16 = 19;
/// Bytes of a sent datagram.
pub const DATAGRAM: usize = 1400;

/// Most connections that each port serves at once.
const CONNECTIONS: usize = 2;
/// Buffer bytes of a connection in its own direction, and in the other one.
const STREAM: usize = 64 * 1024;
const OTHER_WAY: usize = 2 * 1024;
/// Datagrams, and bytes of them, that may wait.
const DATAGRAMS: usize = 64;
const UDP_BUFFER: usize = 128 * 1024;
/// Additional sockets for handshakes.
const SPARE: usize = 1;

/// Bytes of a line of the pattern (RFC 864, section "Data Syntax"), its printing characters, and the number of lines in
/// a period.
const LINE: usize = 74;
const PRINTED: usize = 72;
const LINES: usize = 95;
/// The pattern's period.
const PERIOD: usize = LINE * LINES;

/// One-way traffic so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneWayCounters {
    /// Datagrams discarded.
    pub discarded_datagrams: u64,
    /// Bytes of streams discarded.
    pub discarded_bytes: u64,
    /// Datagrams sent.
    pub sent_datagrams: u64,
    /// Bytes put into streams.
    pub sent_bytes: u64,
    /// Datagrams to the source that got no answer: from outside the network, or from a port of services.
    pub unanswered: u64,
}

/// Opens both services.
pub fn offer<L: Link>(stack: &mut Stack<L>) -> ServiceId<OneWay> {
    stack.offer(OneWay::new)
}

/// The sockets of both services.
pub struct OneWay {
    counters: OneWayCounters,
    udp_sink: SocketHandle,
    udp_source: SocketHandle,
    queue: UdpQueue,
    sinks: Listeners,
    sources: Listeners,
    /// Position of each source's stream in the pattern.
    at: Vec<usize>,
    /// More than a period of the pattern, so that a piece from any position is long.
    pattern: Vec<u8>,
}

impl OneWay {
    fn new(sockets: &mut Sockets) -> Self {
        let mut datagrams = |port| {
            let buffer = || {
                let records = alloc::vec![udp::PacketMetadata::EMPTY; DATAGRAMS];
                udp::PacketBuffer::new(records, alloc::vec![0; UDP_BUFFER])
            };
            let mut socket = udp::Socket::new(buffer(), buffer());
            // `bind` cannot fail: the port is not 0 and the socket is closed.
            let _ = socket.bind(port);
            sockets.udp.change().add(socket)
        };
        let (udp_sink, udp_source) = (datagrams(DISCARD_PORT), datagrams(SOURCE_PORT));
        let mut stream = |port, receive, send| {
            let config = ListenerConfig { port, most: CONNECTIONS, spare: SPARE, receive, send, nagle: true };
            Listeners::new(&mut sockets.tcp, &config)
        };
        let sinks = stream(DISCARD_PORT, STREAM, OTHER_WAY);
        let sources = stream(SOURCE_PORT, OTHER_WAY, STREAM);
        let at = alloc::vec![0; CONNECTIONS.saturating_add(SPARE)];
        let pattern = (0..PERIOD).map(pattern_byte).cycle().take(PERIOD.saturating_mul(4)).collect();
        let (counters, queue) = (OneWayCounters::default(), UdpQueue::default());
        Self { counters, udp_sink, udp_source, queue, sinks, sources, at, pattern }
    }

    /// Traffic so far.
    #[must_use]
    pub fn counters(&self) -> OneWayCounters {
        self.counters
    }

    /// Sends one datagram for each that came from the machine's own network: a forged sender elsewhere would get more
    /// bytes than were sent here.
    fn answer(&mut self, socket: &mut udp::Socket<'static>, own: Option<Settings>, now: Duration) {
        if self.queue.stalled(socket.send_queue(), socket.can_recv(), now) {
            socket.close();
            let _ = socket.bind(SOURCE_PORT);
            self.queue = UdpQueue::default();
        }
        for _ in 0..DATAGRAMS {
            if !socket.can_send() || socket.send_queue().saturating_add(DATAGRAM) > UDP_BUFFER {
                return;
            }
            let Ok((_, mut to)) = socket.recv() else { return };
            let IpAddress::Ipv4(asker) = to.endpoint.addr;
            let Some(own) = own.filter(|own| own.is_local(asker)) else {
                add(&mut self.counters.unanswered, 1);
                continue;
            };
            to.local_address = to.local_address.filter(|&at| at == IpAddress::Ipv4(own.address));
            let service = [ECHO_PORT, SOURCE_PORT].contains(&to.endpoint.port);
            let data = self.pattern.get(..DATAGRAM).unwrap_or_default();
            if service || socket.send_slice(data, to).is_err() {
                add(&mut self.counters.unanswered, 1);
            } else {
                self.queue.enqueued(DATAGRAM, now);
                add(&mut self.counters.sent_datagrams, 1);
            }
        }
    }
}

impl Service for OneWay {
    fn step_udp(&mut self, sockets: &mut SocketSet<'static>, own: Option<Settings>, now: Duration) -> bool {
        let socket = sockets.get_mut::<udp::Socket<'_>>(self.udp_sink);
        let mut discarded: usize = 0;
        for _ in 0..DATAGRAMS {
            if socket.recv().is_err() {
                break;
            }
            discarded = discarded.wrapping_add(1);
        }
        add(&mut self.counters.discarded_datagrams, discarded);
        let more = socket.can_recv();
        let socket = sockets.get_mut(self.udp_source);
        self.answer(socket, own, now);
        more || socket.can_recv()
    }

    fn make_room(&mut self, sockets: &mut SocketSet<'static>, ends: Ends, _now: Duration) {
        self.sinks.make_room(sockets, ends);
        self.sources.make_room(sockets, ends);
    }

    fn listen(&mut self, sockets: &mut SocketSet<'static>) {
        self.sinks.listen(sockets);
        self.sources.listen(sockets);
    }

    fn step_tcp(&mut self, sockets: &mut SocketSet<'static>, _now: Duration) {
        let Self { sinks, sources, at, pattern, counters, .. } = self;
        sinks.step(sockets, |_, socket, _| add(&mut counters.discarded_bytes, discard(socket)));
        sources.step(sockets, |index, socket, new| {
            // A source ignores received bytes.
            discard(socket);
            let Some(at) = at.get_mut(index) else { return };
            if new {
                *at = 0;
            }
            while socket.can_send() {
                let sent = socket.send_slice(pattern.get(*at..).unwrap_or_default()).unwrap_or(0);
                if sent == 0 {
                    break;
                }
                *at = at.saturating_add(sent).checked_rem(PERIOD).unwrap_or(0);
                add(&mut counters.sent_bytes, sent);
            }
        });
    }

    fn close(self: Box<Self>, sockets: &mut Sockets) {
        self.sinks.end(&mut sockets.tcp);
        self.sources.end(&mut sockets.tcp);
        for handle in [self.udp_sink, self.udp_source] {
            drop(sockets.udp.change().remove(handle));
        }
    }
}

/// The byte at `index` of the pattern: lines of 72 printing characters, each rotated by one.
#[must_use]
pub fn pattern_byte(index: usize) -> u8 {
    let (line, column) = (index.wrapping_div(LINE), index.wrapping_rem(LINE));
    match column {
        PRINTED => b'\r',
        ..PRINTED => b' '.wrapping_add(low_u8(line.wrapping_add(column).wrapping_rem(LINES) as u64)),
        _ => b'\n',
    }
}

fn add(counter: &mut u64, more: usize) {
    *counter = counter.wrapping_add(more as u64);
}

/// Discards received bytes, and closes after the peer has.
fn discard(socket: &mut tcp::Socket<'static>) -> usize {
    let mut bytes: usize = 0;
    // A ring's content comes in two pieces.
    for _ in 0..2 {
        bytes = bytes.saturating_add(socket.recv(|data| (data.len(), data.len())).unwrap_or(0));
    }
    if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
        socket.close();
    }
    bytes
}
