//! A service with one request and one response for each connection, as HTTP/1.0 has them. It collects the bytes of a
//! request and sends those of a response, within limits of size and time. Its owner decides where a request ends.

use super::isn::Ends;
use super::listeners::{ListenerConfig, Listeners};
use super::service::Service;
use super::sockets::Sockets;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp;

/// Most connections served at once. The next one is refused, unless a slow one can be displaced.
pub const CONNECTIONS: usize = 4;
/// Additional sockets for handshakes.
const SPARE: usize = 2;
/// Bytes that a connection may have waiting in each direction.
const RECEIVE: usize = 2 * 1024;
const SEND: usize = 16 * 1024;
/// Timeout of a request, from the beginning of its connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a response and of the connection's end after it.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// If all connections are in use, a request that is incomplete after this time makes room for another peer.
const DISPLACED_AFTER: Duration = Duration::from_secs(1);

/// Counters of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes of requests.
    pub received: u64,
    /// Bytes of responses.
    pub sent: u64,
    /// Requests that were longer than the limit, or ended or timed out incomplete.
    pub unfinished: u64,
    /// Connections that were reset because their response or their end timed out.
    pub aborted: u64,
    /// Connections that made room for another peer.
    pub displaced: u64,
}

/// A request, as the owner of the service gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// All bytes since the beginning of the connection, at most as many as the limit.
    Bytes(&'a [u8]),
    /// The request is incomplete and stays so: it timed out, reached the limit, or its peer ended its direction.
    Unfinished,
}

/// The sockets of the service and the state of their connections.
pub struct Requests {
    counters: RequestCounters,
    port: u16,
    limit: usize,
    listeners: Listeners,
    connections: Vec<Connection>,
    /// Responses were added since the last step.
    responded: bool,
}

struct Connection {
    /// Time at which the phase's timeout started.
    since: Duration,
    phase: Phase,
}

enum Phase {
    /// No connection.
    None,
    /// Receiving a request. `new`: bytes that the owner has not read; `over`: no more bytes will come.
    Request { bytes: Vec<u8>, new: bool, over: bool },
    /// Sending the response, of which `sent` bytes are in the socket's buffer or sent.
    Response { bytes: Vec<u8>, sent: usize },
    /// The response is sent, and the connection ends.
    Closing,
}

impl Connection {
    const NONE: Self = Self { since: Duration::ZERO, phase: Phase::None };

    /// When the phase times out.
    fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::None => None,
            Phase::Request { .. } => Some(self.since.saturating_add(REQUEST_TIMEOUT)),
            Phase::Response { .. } | Phase::Closing => Some(self.since.saturating_add(RESPONSE_TIMEOUT)),
        }
    }
}

impl Requests {
    /// Opens the service. `limit` is the most bytes of a request.
    pub fn new(sockets: &mut Sockets, port: u16, limit: usize) -> Self {
        let (most, spare) = (CONNECTIONS, SPARE);
        let config = ListenerConfig { port, most, spare, receive: RECEIVE, send: SEND, nagle: false };
        let listeners = Listeners::new(&mut sockets.tcp, &config);
        let connections = (0..CONNECTIONS.saturating_add(SPARE)).map(|_| Connection::NONE).collect();
        let counters = RequestCounters::default();
        Self { counters, port, limit, listeners, connections, responded: false }
    }

    /// Counters of the service.
    #[must_use]
    pub fn counters(&self) -> RequestCounters {
        self.counters
    }

    /// Calls `respond` for each request with new bytes. `None` waits for more bytes; a response is sent, and then the
    /// connection ends. `now` is the time since the stack was made.
    pub fn respond(&mut self, now: Duration, mut respond: impl FnMut(Request<'_>) -> Option<Vec<u8>>) {
        for connection in &mut self.connections {
            let Phase::Request { bytes, new, over } = &mut connection.phase else { continue };
            let mut response = None;
            if core::mem::take(new) {
                response = respond(Request::Bytes(bytes));
            }
            if response.is_none() && (*over || bytes.len() >= self.limit) {
                // A connection without a byte gets no response: browsers open connections that they may need later.
                response = Some(if bytes.is_empty() {
                    Vec::new()
                } else {
                    self.counters.unfinished = self.counters.unfinished.wrapping_add(1);
                    respond(Request::Unfinished).unwrap_or_default()
                });
            }
            if let Some(bytes) = response {
                *connection = Connection { since: now, phase: Phase::Response { bytes, sent: 0 } };
                self.responded = true;
            }
        }
    }
}

impl Service for Requests {
    fn step_tcp(&mut self, sockets: &mut SocketSet<'static>, now: Duration) {
        let Self { counters, limit, listeners, connections, responded, .. } = self;
        *responded = false;
        listeners.step(sockets, |index, socket, new| {
            let Some(connection) = connections.get_mut(index) else { return };
            if new {
                counters.connections = counters.connections.wrapping_add(1);
                let phase = Phase::Request { bytes: Vec::new(), new: false, over: false };
                *connection = Connection { since: now, phase };
            } else if !socket.may_send() && !socket.may_recv() && !is_closing(socket) {
                connection.phase = Phase::None;
            }
            step(connection, socket, *limit, now, counters);
        });
    }

    fn make_room(&mut self, sockets: &mut SocketSet<'static>, ends: Ends, now: Duration) {
        if ends.local.port() == self.port && self.listeners.is_full(sockets) {
            let slow = |connection: &Connection| {
                let receiving = matches!(connection.phase, Phase::Request { .. });
                (receiving && now.saturating_sub(connection.since) >= DISPLACED_AFTER)
                    .then_some(connection.since)
            };
            let places = self.connections.iter().enumerate();
            if let Some((_, index)) = places.filter_map(|(index, at)| Some((slow(at)?, index))).min() {
                self.listeners.abort(sockets, index);
            }
        }
        self.listeners.make_room(sockets, ends);
        self.counters.displaced = self.listeners.displaced;
    }

    fn listen(&mut self, sockets: &mut SocketSet<'static>) {
        self.listeners.listen(sockets);
    }

    fn due(&self) -> Option<Duration> {
        if self.responded {
            return Some(Duration::ZERO);
        }
        self.connections.iter().filter_map(Connection::due).min()
    }

    fn close(self: Box<Self>, sockets: &mut Sockets) {
        self.listeners.end(&mut sockets.tcp);
    }
}

/// Whether our direction has ended and the peer has not acknowledged that yet.
fn is_closing(socket: &tcp::Socket<'_>) -> bool {
    matches!(socket.state(), tcp::State::LastAck | tcp::State::Closing)
}

/// Receives and sends what the socket's buffers have and take.
fn step(
    connection: &mut Connection,
    socket: &mut tcp::Socket<'static>,
    limit: usize,
    now: Duration,
    counters: &mut RequestCounters,
) {
    let late = connection.due().is_some_and(|due| due <= now);
    match &mut connection.phase {
        Phase::None => {}
        Phase::Request { bytes, new, over } => {
            let before = bytes.len();
            // A ring's content comes in two pieces.
            for _ in 0..2 {
                let room = limit.saturating_sub(bytes.len());
                let received = socket.recv(|data| {
                    bytes.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
                    (data.len(), ())
                });
                if received.is_err() {
                    break;
                }
            }
            let received = bytes.len().saturating_sub(before);
            counters.received = counters.received.wrapping_add(received as u64);
            *new |= received > 0;
            *over |= late || !socket.may_recv();
        }
        Phase::Response { .. } | Phase::Closing if late => {
            counters.aborted = counters.aborted.wrapping_add(1);
            socket.abort();
            connection.phase = Phase::None;
        }
        Phase::Response { bytes, sent } => {
            discard(socket);
            let more = socket.send_slice(bytes.get(*sent..).unwrap_or_default()).unwrap_or(0);
            *sent = sent.saturating_add(more);
            counters.sent = counters.sent.wrapping_add(more as u64);
            if *sent >= bytes.len() {
                socket.close();
                connection.phase = Phase::Closing;
            }
        }
        Phase::Closing => discard(socket),
    }
}

/// Discards the bytes after a request, so that a peer that goes on sending reads its response.
fn discard(socket: &mut tcp::Socket<'static>) {
    for _ in 0..2 {
        let _ = socket.recv(|data| (data.len(), ()));
    }
}
