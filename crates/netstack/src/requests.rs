//! A service of one request and one answer for each connection. What a request is, whoever answers says: this module
//! collects bytes, sends bytes, and keeps both within bounds of size and time.

use super::isn::Ends;
use super::listeners::{ListenerConfig, Listeners};
use super::sockets::Sockets;
use alloc::vec::Vec;
use core::time::Duration;
use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp;

/// Connections served at once; the next one is refused, unless it can displace a slow one.
pub const CONNECTIONS: usize = 4;
/// Sockets for handshakes beyond those.
const SPARE: usize = 2;
/// Bytes that a connection may have waiting in each direction.
const RECEIVE: usize = 2 * 1024;
const SEND: usize = 16 * 1024;
/// How long a request may take to come, from the connection's beginning.
pub const ASKING: Duration = Duration::from_secs(5);
/// How long an answer may take to leave, and the connection to end.
pub const ANSWERING: Duration = Duration::from_secs(10);
/// A request that has taken this long makes room for another peer when all connections are in use.
const DISPLACED_AFTER: Duration = Duration::from_secs(1);

/// What the service has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes of requests.
    pub received: u64,
    /// Bytes of answers.
    pub sent: u64,
    /// Requests that did not come to their end in time.
    pub unfinished: u64,
    /// Connections that were reset because their answer, or their end, took too long.
    pub aborted: u64,
    /// Connections that made room for another peer.
    pub displaced: u64,
}

/// What there is to be answered on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// These bytes have come since its beginning: at most as many as the service keeps.
    Bytes(&'a [u8]),
    /// No more will be waited for: the time is over, or the peer has ended its side.
    Unfinished,
}

/// The sockets of the service.
pub(super) struct Requests {
    pub counters: RequestCounters,
    port: u16,
    longest: usize,
    connections: Listeners,
    talks: Vec<Talk>,
}

/// Where a connection is, and since when.
struct Talk {
    since: Duration,
    phase: Phase,
}

enum Phase {
    /// There is none.
    None,
    /// A request is coming; whether there is something new to look at.
    Asking { bytes: Vec<u8>, new: bool, over: bool },
    /// An answer is leaving; how much of it has left.
    Answering { answer: Vec<u8>, sent: usize },
    /// The answer has left, and the connection ends.
    Ending,
}

impl Talk {
    /// When something has to be done although nothing comes.
    fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::None => None,
            Phase::Asking { .. } => Some(self.since.saturating_add(ASKING)),
            Phase::Answering { .. } | Phase::Ending => Some(self.since.saturating_add(ANSWERING)),
        }
    }
}

impl Requests {
    /// Opens the service; of a request at most `longest` bytes are kept.
    pub fn new(sockets: &mut Sockets, port: u16, longest: usize) -> Self {
        let (most, spare) = (CONNECTIONS, SPARE);
        let config = ListenerConfig { port, most, spare, receive: RECEIVE, send: SEND, nagle: false };
        let connections = Listeners::new(&mut sockets.tcp, &config);
        let none = || Talk { since: Duration::ZERO, phase: Phase::None };
        let talks = (0..CONNECTIONS.saturating_add(SPARE)).map(|_| none()).collect();
        Self { counters: RequestCounters::default(), port, longest, connections, talks }
    }

    /// Closes the service.
    pub fn end(self, sockets: &mut Sockets) {
        self.connections.end(&mut sockets.tcp);
    }

    /// When something has to be done although nothing comes.
    pub fn due(&self) -> Option<Duration> {
        self.talks.iter().filter_map(Talk::due).min()
    }

    /// Takes what has come and sends what there is to be sent, as far as buffers have room.
    pub fn step(&mut self, sockets: &mut SocketSet<'static>, now: Duration) {
        let Self { counters, longest, connections, talks, .. } = self;
        connections.step(sockets, |index, socket, new| {
            let Some(talk) = talks.get_mut(index) else { return };
            if new {
                counters.connections = counters.connections.wrapping_add(1);
                let phase = Phase::Asking { bytes: Vec::new(), new: false, over: false };
                *talk = Talk { since: now, phase };
            } else if !socket.may_send() && !socket.may_recv() && !is_ending(socket) {
                talk.phase = Phase::None;
            }
            step_one(talk, socket, *longest, now, counters);
        });
    }

    /// Has `answer` look at each connection that has something new; what it answers is sent, and the connection ended.
    /// True when there is something to be sent.
    pub fn answer(&mut self, now: Duration, mut answer: impl FnMut(Asked<'_>) -> Option<Vec<u8>>) -> bool {
        let mut answered = false;
        for talk in &mut self.talks {
            let Phase::Asking { bytes, new, over } = &mut talk.phase else { continue };
            let said = if core::mem::take(new) { answer(Asked::Bytes(bytes)) } else { None };
            let said = said.or_else(|| {
                let unfinished = *over || bytes.len() >= self.longest;
                if bytes.is_empty() {
                    // Nothing was asked, and nothing is answered: browsers open connections that they may need.
                    return unfinished.then(Vec::new);
                }
                self.counters.unfinished = self.counters.unfinished.wrapping_add(unfinished.into());
                if unfinished { Some(answer(Asked::Unfinished).unwrap_or_default()) } else { None }
            });
            if let Some(said) = said {
                *talk = Talk { since: now, phase: Phase::Answering { answer: said, sent: 0 } };
                answered = true;
            }
        }
        answered
    }

    /// Makes room for a peer that is about to connect.
    pub fn make_room(&mut self, sockets: &mut SocketSet<'static>, asker: Ends, now: Duration) {
        if asker.local.port() == self.port && self.connections.is_full(sockets) {
            let slow = |talk: &Talk| {
                let asking = matches!(talk.phase, Phase::Asking { .. });
                (asking && now.saturating_sub(talk.since) >= DISPLACED_AFTER).then_some(talk.since)
            };
            let slow = self.talks.iter().enumerate().filter_map(|(index, talk)| Some((slow(talk)?, index)));
            if let Some((_, index)) = slow.min() {
                self.connections.abort(sockets, index);
            }
        }
        self.connections.make_room(sockets, asker);
        self.counters.displaced = self.connections.displaced;
    }

    /// Has connections that are over wait for the next peer.
    pub fn listen(&mut self, sockets: &mut SocketSet<'static>) {
        self.connections.listen(sockets);
    }
}

/// Whether our side has ended and the peer has not acknowledged that yet.
fn is_ending(socket: &tcp::Socket<'_>) -> bool {
    matches!(socket.state(), tcp::State::LastAck | tcp::State::Closing)
}

fn step_one(
    talk: &mut Talk,
    socket: &mut tcp::Socket<'static>,
    longest: usize,
    now: Duration,
    counters: &mut RequestCounters,
) {
    let late = talk.due().is_some_and(|due| due <= now);
    match &mut talk.phase {
        Phase::None => {}
        Phase::Asking { bytes, new, over } => {
            let before = bytes.len();
            // A ring's content comes in two pieces.
            for _ in 0..2 {
                let room = longest.saturating_sub(bytes.len());
                let taken = socket.recv(|data| {
                    let data = data.get(..room.min(data.len())).unwrap_or_default();
                    bytes.extend_from_slice(data);
                    (data.len(), ())
                });
                if taken.is_err() {
                    break;
                }
            }
            let came = bytes.len().saturating_sub(before);
            counters.received = counters.received.wrapping_add(came as u64);
            *new |= came > 0;
            *over |= late || !socket.may_recv();
        }
        Phase::Answering { .. } | Phase::Ending if late => {
            counters.aborted = counters.aborted.wrapping_add(1);
            socket.abort();
            talk.phase = Phase::None;
        }
        Phase::Answering { answer, sent } => {
            swallow(socket);
            let more = socket.send_slice(answer.get(*sent..).unwrap_or_default()).unwrap_or(0);
            *sent = sent.saturating_add(more);
            counters.sent = counters.sent.wrapping_add(more as u64);
            if *sent >= answer.len() {
                socket.close();
                talk.phase = Phase::Ending;
            }
        }
        Phase::Ending => swallow(socket),
    }
}

/// Throws away what comes after a request, so that a peer that goes on sending reads its answer.
fn swallow(socket: &mut tcp::Socket<'static>) {
    for _ in 0..2 {
        let _ = socket.recv(|data| (data.len(), ()));
    }
}
