//! The service of one request and one answer for each connection, against peers that are slow, rude or many.

use netstack::requests::{Asked, CONNECTIONS};
use netstack::stack::Stack;
use papr::clock::{Clock, Wake};
use postern_cases::case;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use std::vec::Vec;
use testkit::network::{Bench, SECOND, configured};
use testkit::peer::{PEER_IP, Peer};
use testkit::wire::{MICROSECOND, TestClock, TestLink};

const PORT: u16 = 80;
const LONGEST: usize = 1000;
const LATE: &[u8] = b"late";

/// Answers what ends with `!`: with the same again, so many times.
fn reply(times: usize, asked: Asked<'_>) -> Option<Vec<u8>> {
    match asked {
        Asked::Bytes(bytes) if bytes.ends_with(b"!") => Some(bytes.repeat(times)),
        Asked::Bytes(bytes) => {
            assert!(bytes.len() <= LONGEST);
            None
        }
        Asked::Unfinished => Some(LATE.to_vec()),
    }
}

fn served() -> Bench<TestLink> {
    let mut b = configured();
    b.stack.offer_requests(Some((PORT, LONGEST)));
    b
}

/// A clock whose sleeper wakes when it wanted to.
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

trait Answering {
    /// As `until_every`, and requests are answered.
    fn answering(&mut self, seconds: u64, times: usize, done: impl FnMut(&mut Peer) -> bool) -> bool;

    /// Asks for a connection from this port.
    fn open(&mut self, port: u16) -> SocketHandle;

    /// Sends the pieces, each some time after the one before, and reads until the stack ends the connection.
    fn talk(&mut self, handle: SocketHandle, pieces: &[&[u8]], pause_ms: u64, times: usize) -> Vec<u8>;
}

impl Answering for Bench<TestLink> {
    fn answering(&mut self, seconds: u64, times: usize, mut done: impl FnMut(&mut Peer) -> bool) -> bool {
        let end = self.clock.now() + seconds * self.clock.frequency();
        while self.clock.now() < end {
            self.stack.poll(&self.clock).unwrap();
            self.stack.answer(|_, _, asked| reply(times, asked));
            if done(&mut self.peer.borrow_mut()) {
                return true;
            }
            self.clock.advance_us(1000);
        }
        false
    }

    fn open(&mut self, port: u16) -> SocketHandle {
        self.peer.borrow_mut().connect_to(PORT, port)
    }

    fn talk(&mut self, handle: SocketHandle, pieces: &[&[u8]], pause_ms: u64, times: usize) -> Vec<u8> {
        let (mut next, mut got) = (0, Vec::new());
        let mut at = 0;
        let clock = self.clock.clone();
        let ended = self.answering(40, times, |peer| {
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
        assert!(ended, "{:?}", self.stack.counters().requests);
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
        assert_eq!(b.talk(handle, pieces, 50, 1), b"hello!");
    }
    let requests = b.stack.counters().requests;
    assert_eq!((requests.connections, requests.received, requests.sent), (3, 18, 18));
}

#[test]
fn an_answer_longer_than_any_buffer_arrives_whole() {
    let mut b = served();
    let handle = b.open(40_000);
    let text = [b'x'; 999];
    let got = b.talk(handle, &[&text, b"!"], 0, 300);
    assert_eq!(got.len(), 300_000);
}

#[test]
fn a_request_of_more_bytes_than_are_kept_is_answered_as_unfinished_and_what_follows_is_thrown_away() {
    case!("NET-30", Fail);
    let mut b = served();
    let handle = b.open(40_000);
    let long = [b'x'; 20_000];
    let got = b.talk(handle, &[&long, &long], 0, 1);
    assert_eq!(got, LATE);
    assert_eq!(b.stack.counters().requests.received, LONGEST as u64);
}

#[test]
fn a_request_that_comes_byte_by_byte_has_five_seconds_in_all() {
    case!("NET-31", Fail);
    let mut b = served();
    let handle = b.open(40_000);
    let start = b.clock.now();
    let slowly = [&b"x"[..]; 100];
    assert_eq!(b.talk(handle, &slowly, 400, 1), LATE);
    let took = (b.clock.now() - start) / (b.clock.frequency() / 10);
    assert!((50..53).contains(&took), "{took} tenths of a second");
    assert_eq!(b.stack.counters().requests.unfinished, 1);
}

#[test]
fn a_peer_that_ends_its_side_early_is_told_and_one_that_asks_nothing_is_not() {
    let mut b = served();
    for (round, (asked, answer)) in
        [(&b"half"[..], LATE), (b"", b""), (b"all!", b"all!")].into_iter().enumerate()
    {
        let handle = b.open(40_000 + round as u16);
        assert!(b.answering(1, 1, |peer| peer.tcp_socket(handle).may_send()));
        b.peer.borrow_mut().tcp_socket(handle).send_slice(asked).unwrap();
        b.peer.borrow_mut().tcp_socket(handle).close();
        let mut got = Vec::new();
        assert!(b.answering(2, 1, |peer| {
            let socket = peer.tcp_socket(handle);
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
            }
            !socket.may_recv()
        }));
        assert_eq!(got, answer);
    }
}

#[test]
fn a_peer_that_reads_nothing_is_reset_after_ten_seconds() {
    case!("NET-31", Clamp);
    let mut b = served();
    let handle = b.open(40_000);
    let start = b.clock.now();
    let mut asked = false;
    let reset = b.answering(40, 300, |peer| {
        let socket = peer.tcp_socket(handle);
        if !asked && socket.can_send() {
            asked = true;
            let mut text = [b'x'; LONGEST];
            text[LONGEST - 1] = b'!';
            socket.send_slice(&text).unwrap();
        }
        !socket.is_open()
    });
    let took = (b.clock.now() - start) / (b.clock.frequency() / 10);
    assert!(reset && (100..103).contains(&took), "{took} tenths of a second");
    assert_eq!(b.stack.counters().requests.aborted, 1);
}

#[test]
fn slow_peers_in_every_place_make_room_after_a_second() {
    case!("NET-31", Work);
    let mut b = served();
    let slow: Vec<_> = (0..CONNECTIONS as u16).map(|i| b.open(40_000 + i)).collect();
    assert!(b.answering(1, 1, |peer| slow.iter().all(|&handle| peer.tcp_socket(handle).may_send())));
    // Not before: they may still ask.
    let early = b.open(41_000);
    assert!(b.answering(1, 1, |peer| !peer.tcp_socket(early).is_open()));
    b.answering(1, 1, |_| false);
    for round in 0..20 {
        let honest = b.open(42_000 + round);
        assert_eq!(b.talk(honest, &[b"now!"], 0, 1), b"now!", "{round}");
        // The slow come again.
        b.open(43_000 + round);
        b.answering(2, 1, |_| false);
    }
}

#[test]
fn a_flood_of_half_open_connections_leaves_the_page_within_reach() {
    case!("NET-18", Work);
    let mut b = served();
    // The gateway's address is known: nothing waits for it.
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    b.ask(PORT, 20_000..20_200);
    let honest = b.open(40_000);
    assert_eq!(b.talk(honest, &[b"now!"], 0, 1), b"now!");
    assert!(b.stack.counters().requests.displaced > 190);
}

#[test]
fn a_connection_without_anything_to_do_lets_the_cpu_rest() {
    let mut b = served();
    let handle = b.open(40_000);
    assert!(b.answering(1, 1, |peer| peer.tcp_socket(handle).may_send()));
    b.stack.link().cede_interval = Some(SECOND);
    let mut turns = 0;
    let answer = |stack: &mut Stack<TestLink>| {
        turns += 1;
        stack.answer(|_, _, asked| reply(1, asked));
        false
    };
    b.stack.serve(&Sleeper(b.clock.clone()), 20 * SECOND, answer).unwrap();
    // A look at the link every 100 ms, and a little for the connection and its end.
    assert!(turns < 260, "{turns}");
}

#[test]
fn a_service_that_is_closed_refuses_and_keeps_nothing() {
    let mut b = served();
    let handle = b.open(40_000);
    assert!(b.answering(1, 1, |peer| peer.tcp_socket(handle).may_send()));
    b.stack.offer_requests(None);
    let refused = b.open(40_001);
    assert!(b.answering(1, 1, |peer| !peer.tcp_socket(refused).is_open()));
}
