//! The service with one request and one response for each connection, with slow peers, with peers that break the rules,
//! and with many peers.

use core::ops::{Deref, DerefMut};
use netstack::requests::{CONNECTIONS, Request, RequestCounters, Requests};
use netstack::stack::{ServiceId, Stack};
use papr::clock::{Clock, Wake};
use postern_cases::case;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use std::vec::Vec;
use testkit::network::{Bench, SECOND, configured};
use testkit::peer::{PEER_IP, Peer};
use testkit::wire::{MICROSECOND, TestClock, TestLink};

const PORT: u16 = 80;
const LIMIT: usize = 1000;
const LATE: &[u8] = b"late";

/// A request ends with `!`; the response repeats it `times` times.
fn response(times: usize, request: Request<'_>) -> Option<Vec<u8>> {
    match request {
        Request::Bytes(bytes) if bytes.ends_with(b"!") => Some(bytes.repeat(times)),
        Request::Bytes(bytes) => {
            assert!(bytes.len() <= LIMIT);
            None
        }
        Request::Unfinished => Some(LATE.to_vec()),
    }
}

/// A stack with the service, and a peer.
struct Served {
    bench: Bench<TestLink>,
    service: ServiceId<Requests>,
}

impl Deref for Served {
    type Target = Bench<TestLink>;
    fn deref(&self) -> &Bench<TestLink> {
        &self.bench
    }
}

impl DerefMut for Served {
    fn deref_mut(&mut self) -> &mut Bench<TestLink> {
        &mut self.bench
    }
}

fn served() -> Served {
    let mut bench = configured();
    let service = bench.stack.offer(|sockets| Requests::new(sockets, PORT, LIMIT));
    Served { bench, service }
}

fn respond(stack: &mut Stack<TestLink>, service: &ServiceId<Requests>, times: usize) {
    let offered = stack.service(service).unwrap();
    offered.service.respond(offered.now, |request| response(times, request));
}

/// A clock that sleeps exactly as long as requested.
struct Sleeper(TestClock);

impl Clock for Sleeper {
    fn now(&self) -> u64 {
        self.0.now()
    }
    fn frequency(&self) -> u64 {
        self.0.frequency()
    }
    fn idle(&self, until: u64) -> Wake {
        self.0.advance_us(until.saturating_sub(self.0.now()) / MICROSECOND);
        Wake::Timer
    }
}

impl Served {
    fn counters(&mut self) -> RequestCounters {
        self.bench.stack.service(&self.service).unwrap().service.counters()
    }

    /// As `until_every`, and responds to requests.
    fn responding(&mut self, seconds: u64, times: usize, mut done: impl FnMut(&mut Peer) -> bool) -> bool {
        let Self { bench: b, service } = self;
        let end = b.clock.now() + seconds * b.clock.frequency();
        while b.clock.now() < end {
            b.stack.poll(&b.clock).unwrap();
            respond(&mut b.stack, service, times);
            if done(&mut b.peer.borrow_mut()) {
                return true;
            }
            b.clock.advance_us(1000);
        }
        false
    }

    /// Connects from this port.
    fn open(&mut self, port: u16) -> SocketHandle {
        self.peer.borrow_mut().connect_to(PORT, port)
    }

    /// Sends the pieces, with a pause between two, and reads until the stack ends the connection.
    fn exchange(&mut self, handle: SocketHandle, pieces: &[&[u8]], pause_ms: u64, times: usize) -> Vec<u8> {
        let (mut next, mut got) = (0, Vec::new());
        let mut at = 0;
        let clock = self.clock.clone();
        let ended = self.responding(40, times, |peer| {
            let socket = peer.tcp_socket(handle);
            if next < pieces.len() && socket.can_send() && clock.now() >= at {
                assert_eq!(socket.send_slice(pieces[next]), Ok(pieces[next].len()));
                (next, at) = (next + 1, clock.now() + pause_ms * clock.frequency() / 1000);
            }
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
            }
            let over = socket.state() == tcp::State::CloseWait || !socket.is_open();
            over && !socket.can_recv()
        });
        assert!(ended, "{:?}", self.counters());
        self.peer.borrow_mut().tcp_socket(handle).close();
        got
    }
}

#[test]
fn a_request_is_answered_however_it_is_split() {
    case!("NET-30", Work);
    let mut b = served();
    for (round, pieces) in
        [&[&b"hello!"[..]][..], &[b"h", b"e", b"llo", b"!"], &[b"", b"hello", b"!"]].into_iter().enumerate()
    {
        let handle = b.open(40_000 + round as u16);
        assert_eq!(b.exchange(handle, pieces, 50, 1), b"hello!");
    }
    let requests = b.counters();
    assert_eq!((requests.connections, requests.received, requests.sent), (3, 18, 18));
}

#[test]
fn a_response_longer_than_any_buffer_arrives_whole() {
    let mut b = served();
    let handle = b.open(40_000);
    let text = [b'x'; 999];
    let got = b.exchange(handle, &[&text, b"!"], 0, 300);
    assert_eq!(got.len(), 300_000);
}

#[test]
fn a_request_that_is_too_long_is_answered_as_unfinished_and_its_rest_dropped() {
    case!("NET-30", Fail);
    let mut b = served();
    let handle = b.open(40_000);
    let long = [b'x'; 20_000];
    let got = b.exchange(handle, &[&long, &long], 0, 1);
    assert_eq!(got, LATE);
    assert_eq!(b.counters().received, LIMIT as u64);
}

#[test]
fn a_request_that_comes_byte_by_byte_has_five_seconds_in_all() {
    case!("NET-31", Fail);
    let mut b = served();
    let handle = b.open(40_000);
    let start = b.clock.now();
    let slowly = [&b"x"[..]; 100];
    assert_eq!(b.exchange(handle, &slowly, 400, 1), LATE);
    let took = (b.clock.now() - start) / (b.clock.frequency() / 10);
    assert!((50..53).contains(&took), "{took} tenths of a second");
    assert_eq!(b.counters().unfinished, 1);
}

#[test]
fn a_cut_off_request_gets_a_response_and_an_empty_one_gets_none() {
    let mut b = served();
    for (round, (request, expected)) in
        [(&b"half"[..], LATE), (b"", b""), (b"all!", b"all!")].into_iter().enumerate()
    {
        let handle = b.open(40_000 + round as u16);
        assert!(b.responding(1, 1, |peer| peer.tcp_socket(handle).may_send()));
        b.peer.borrow_mut().tcp_socket(handle).send_slice(request).unwrap();
        b.peer.borrow_mut().tcp_socket(handle).close();
        let mut got = Vec::new();
        assert!(b.responding(2, 1, |peer| {
            let socket = peer.tcp_socket(handle);
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
            }
            !socket.may_recv()
        }));
        assert_eq!(got, expected);
    }
}

#[test]
fn a_peer_that_reads_nothing_is_reset_after_ten_seconds() {
    case!("NET-31", Clamp);
    let mut b = served();
    let handle = b.open(40_000);
    let start = b.clock.now();
    let mut requested = false;
    let reset = b.responding(40, 300, |peer| {
        let socket = peer.tcp_socket(handle);
        if !requested && socket.can_send() {
            requested = true;
            let mut text = [b'x'; LIMIT];
            text[LIMIT - 1] = b'!';
            socket.send_slice(&text).unwrap();
        }
        !socket.is_open()
    });
    let took = (b.clock.now() - start) / (b.clock.frequency() / 10);
    assert!(reset && (100..103).contains(&took), "{took} tenths of a second");
    assert_eq!(b.counters().aborted, 1);
}

#[test]
fn slow_peers_in_every_socket_make_room_after_a_second() {
    case!("NET-31", Work);
    let mut b = served();
    let slow: Vec<_> = (0..CONNECTIONS as u16).map(|i| b.open(40_000 + i)).collect();
    assert!(b.responding(1, 1, |peer| slow.iter().all(|&handle| peer.tcp_socket(handle).may_send())));
    // Not earlier: they may still send a request.
    let early = b.open(41_000);
    assert!(b.responding(1, 1, |peer| !peer.tcp_socket(early).is_open()));
    b.responding(1, 1, |_| false);
    for round in 0..20 {
        let honest = b.open(42_000 + round);
        assert_eq!(b.exchange(honest, &[b"now!"], 0, 1), b"now!", "{round}");
        // Another slow peer connects.
        b.open(43_000 + round);
        b.responding(2, 1, |_| false);
    }
}

#[test]
fn the_page_is_served_during_a_flood_of_half_open_connections() {
    case!("NET-18", Work);
    let mut b = served();
    // The gateway's hardware address is known, so that no response waits for ARP.
    let bench = &mut b.bench;
    bench.stack.ping(&bench.clock, PEER_IP, SECOND).unwrap();
    b.ask(PORT, 20_000..20_200);
    let honest = b.open(40_000);
    assert_eq!(b.exchange(honest, &[b"now!"], 0, 1), b"now!");
    assert!(b.counters().displaced > 190);
}

#[test]
fn an_idle_connection_lets_the_cpu_sleep() {
    let mut b = served();
    let handle = b.open(40_000);
    assert!(b.responding(1, 1, |peer| peer.tcp_socket(handle).may_send()));
    b.stack.link().cede_interval = Some(SECOND);
    let mut turns = 0;
    let Served { bench: b, service } = &mut b;
    let work = |stack: &mut Stack<TestLink>| {
        turns += 1;
        respond(stack, service, 1);
        false
    };
    b.stack.serve(&Sleeper(b.clock.clone()), 20 * SECOND, work).unwrap();
    // The link is polled every 100 ms; the connection and its end need a few turns more.
    assert!(turns < 260, "{turns}");
}

#[test]
fn a_closed_service_refuses_connections_and_resets_open_ones() {
    let mut b = served();
    let handle = b.open(40_000);
    assert!(b.responding(1, 1, |peer| peer.tcp_socket(handle).may_send()));
    // The acknowledgement arrives, so that the stack's end is established too.
    assert!(!b.responding(1, 1, |_| false));
    let Served { bench: mut b, service } = b;
    b.stack.close(service);
    b.peer.borrow_mut().tcp_socket(handle).send_slice(b"late!").unwrap();
    let refused = b.peer.borrow_mut().connect_to(PORT, 40_001);
    assert!(b.until(1, |peer| !peer.tcp_socket(refused).is_open()));
    assert!(
        !b.peer.borrow_mut().tcp_socket(handle).is_open(),
        "the open connection is reset at its next segment"
    );
}

#[test]
fn a_service_is_found_by_its_own_identifier_only() {
    let mut b = served();
    let second = b.stack.offer(|sockets| Requests::new(sockets, PORT + 1, LIMIT));
    let mut foreign = configured();
    assert!(foreign.stack.service(&second).is_none());
    foreign.stack.close(second);
    let second = b.stack.offer(|sockets| Requests::new(sockets, PORT + 2, LIMIT));
    b.stack.close(second);
    let handle = b.open(40_000);
    assert_eq!(b.exchange(handle, &[b"first!"], 0, 1), b"first!");
    assert_eq!(b.counters().connections, 1);
}
