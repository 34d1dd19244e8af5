//! Whether a peer that has seen all earlier numbers can predict the next one.

use papr::clock::Clock;
use postern_cases::case;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp;
use smoltcp::wire::{
    EthernetFrame, Icmpv4Message, Icmpv4Packet, IpAddress, IpProtocol, Ipv4Packet, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber,
};
use std::collections::BTreeSet;
use std::vec::Vec;
use testkit::frames::ipv4;
use testkit::network::{Bench, SECOND, configured};
use testkit::peer::{PEER_IP, STACK_IP};
use testkit::wire::{TestClock, TestLink, Wire};

/// The published generator of `smoltcp` 0.14 (`rand.rs`): its outputs after the state `seed`.
fn published_generator(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed;
    core::iter::repeat_with(move || {
        state = state.wrapping_mul(0xbb2e_fcec_3c39_611d).wrapping_add(0x7590_ef39);
        (state >> (29 - (state >> 61))) as u32
    })
}

/// An attacker that takes each number, and each pair of successive numbers, for a state of the generator, and computes
/// the outputs that would follow.
#[derive(Default)]
pub struct Predictor {
    last: Vec<u32>,
    expected: BTreeSet<u32>,
    /// Numbers that it had predicted.
    pub right: usize,
    pub numbers: usize,
}

impl Predictor {
    /// Outputs that are computed for each state. More would make a hit by chance likelier: after a thousand numbers some
    /// 30,000 of 2^32 values are predicted, and with the payloads of the pings some 840,000.
    const AHEAD: usize = 8;

    fn state(&mut self, state: u64) {
        self.known_state(state, Self::AHEAD);
    }

    fn known_state(&mut self, state: u64, ahead: usize) {
        self.expected.extend(published_generator(state).take(ahead));
    }

    pub fn number(&mut self, number: u32) {
        self.numbers += 1;
        self.right += usize::from(self.expected.contains(&number));
        if let [.., before, last] = self.last[..] {
            let state = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
            self.state(state(last, number));
            self.state(state(number, last));
            // The last step again, up or down.
            let step = last.wrapping_sub(before);
            self.expected.extend([number.wrapping_add(step), number.wrapping_sub(step), number]);
            self.expected.extend([number.wrapping_add(1), number.wrapping_sub(1), !number]);
        }
        self.state(number.into());
        self.last.push(number);
    }
}

fn syn(from_port: u16, to_port: u16) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from_port,
        dst_port: to_port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1000),
        ack_number: None,
        window_len: 4000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let mut bytes = std::vec![0; segment.buffer_len()];
    let (from, to) = (IpAddress::Ipv4(PEER_IP), IpAddress::Ipv4(STACK_IP));
    segment.emit(&mut TcpPacket::new_unchecked(&mut bytes), &from, &to, &ChecksumCapabilities::default());
    ipv4(PEER_IP, STACK_IP, IpProtocol::Tcp, &bytes)
}

/// The sequence number of a frame that answers a SYN to this port.
fn initial_number(frame: &[u8], to_port: u16) -> Option<u32> {
    let packet = Ipv4Packet::new_checked(EthernetFrame::new_checked(frame).ok()?.payload()).ok()?;
    let segment = TcpPacket::new_checked(packet.payload()).ok()?;
    let answer = segment.syn() && segment.ack() && segment.dst_port() == to_port;
    answer.then(|| segment.seq_number().0 as u32)
}

/// Opens a connection from this port; the peer has no such connection and resets it.
fn knock(b: &mut Bench<TestLink>, port: u16) -> u32 {
    b.wire.borrow_mut().seen = Some(Vec::new());
    b.wire.borrow_mut().to_stack.push_back(syn(port, 7));
    let wire = b.wire.clone();
    let seen = || wire.borrow().seen.iter().flatten().find_map(|frame| initial_number(frame, port));
    assert!(b.until(1, |_| seen().is_some()), "no answer to a SYN from port {port}");
    let number = seen().unwrap();
    // The reset arrives, and the connection waits for the next peer.
    for _ in 0..4 {
        b.stack.poll(&b.clock).unwrap();
    }
    number
}

fn ping_payload(b: &mut Bench<TestLink>) -> Vec<u8> {
    b.wire.borrow_mut().seen = Some(Vec::new());
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    let seen = b.wire.borrow_mut().seen.take().unwrap();
    let payload = |frame: &Vec<u8>| {
        let packet =
            Ipv4Packet::new_checked(EthernetFrame::new_checked(frame.as_slice()).ok()?.payload()).ok()?;
        let message = Icmpv4Packet::new_checked(packet.payload()).ok()?;
        (packet.next_header() == IpProtocol::Icmp && message.msg_type() == Icmpv4Message::EchoRequest)
            .then(|| [message.data(), &message.echo_ident().to_be_bytes()].concat())
    };
    seen.iter().find_map(payload).unwrap()
}

#[test]
fn a_thousand_sequence_numbers_do_not_predict_the_next_one() {
    case!("RND-02", Ignore);
    let mut b = configured();
    let mut predictor = Predictor::default();
    for port in 10_000..11_000 {
        let payload = ping_payload(&mut b);
        for window in payload.windows(8) {
            let word: [u8; 8] = window.try_into().unwrap();
            predictor.state(u64::from_le_bytes(word));
            predictor.state(u64::from_be_bytes(word));
        }
        predictor.number(knock(&mut b, port));
    }
    assert_eq!((predictor.right, predictor.numbers), (0, 1000));
}

#[test]
fn the_predictor_finds_the_numbers_of_a_bare_smoltcp_by_its_seed() {
    // The twin: a listening `smoltcp` without anything between it and the wire, and its seed in a ping.
    let (clock, wire) = (TestClock::default(), Wire::shared());
    let peer = testkit::peer::Peer::shared(&wire, &clock);
    let buffer = || tcp::SocketBuffer::new(std::vec![0; 4096]);
    let mut predictor = Predictor::default();
    predictor.known_state(testkit::peer::SEED, 40);
    for port in 10_000..10_030 {
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.listen(7).unwrap();
        let handle = peer.borrow_mut().sockets.add(socket);
        // Source and destination are exchanged. The checksum stays right, because it is a sum.
        let mut frame = ipv4(STACK_IP, PEER_IP, IpProtocol::Tcp, &syn(port, 7)[34..]);
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
        frame[6..12].copy_from_slice(&[0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        wire.borrow_mut().to_peer.push_back(frame);
        peer.borrow_mut().turn();
        let sent: Vec<Vec<u8>> = wire.borrow_mut().to_stack.drain(..).collect();
        answer_arp(&wire, &sent);
        peer.borrow_mut().turn();
        clock.advance_us(2_000_000);
        peer.borrow_mut().turn();
        let sent: Vec<Vec<u8>> = sent.into_iter().chain(wire.borrow_mut().to_stack.drain(..)).collect();
        let number = sent.iter().find_map(|frame| initial_number(frame, port)).expect("an answer");
        predictor.number(number);
        peer.borrow_mut().sockets.remove(handle);
    }
    assert_eq!((predictor.right, predictor.numbers), (30, 30));
}

/// Answers a question for the stack's hardware address.
fn answer_arp(wire: &testkit::wire::SharedWire, sent: &[Vec<u8>]) {
    for frame in sent.iter().filter(|frame| frame.get(12..14) == Some(&[8, 6])) {
        let mut answer = frame.clone();
        let (ours, theirs) = ([0x52, 0x54, 0, 0x12, 0x34, 0x56], [2, 0, 0, 0, 0, 2]);
        answer[..6].copy_from_slice(&theirs);
        answer[6..12].copy_from_slice(&ours);
        answer[21] = 2;
        answer[22..28].copy_from_slice(&ours);
        answer[28..32].copy_from_slice(&STACK_IP.octets());
        answer[32..38].copy_from_slice(&theirs);
        answer[38..42].copy_from_slice(&PEER_IP.octets());
        wire.borrow_mut().to_peer.push_back(answer);
    }
}

#[test]
fn a_connection_opened_anew_has_a_later_number() {
    case!("RND-03", Work);
    let mut b = configured();
    let mut before = knock(&mut b, 20_000);
    let mut others = Vec::new();
    for round in 1..50_u64 {
        let start = b.clock.now();
        b.clock.advance_us(round * 1000);
        others.push(knock(&mut b, 20_000 + round as u16));
        let number = knock(&mut b, 20_000);
        let passed = (b.clock.now() - start) / (b.clock.frequency() / 1_000_000);
        let went = u64::from(number.wrapping_sub(before));
        // A step each four microseconds (RFC 6528, section 3); knocking takes some time itself.
        assert!(went >= round * 250 && went <= passed, "round {round}: {went} steps in {passed} us");
        before = number;
    }
    // Other connections begin anywhere in 2^32: by chance 0.3 pairs of 49 are closer than 500,000, on average. A timer alone
    // would make all of them that close.
    others.sort_unstable();
    let near = others.windows(2).filter(|pair| pair[1] - pair[0] < 500_000).count();
    assert!(near <= 3, "{near} of {} numbers are near another", others.len());
}

#[test]
fn ended_connections_make_room_and_open_ones_keep_their_sequence_numbers() {
    let mut b = configured();
    let handle = b.peer.borrow_mut().connect(30_000);
    assert!(b.until(2, |peer| peer.tcp_socket(handle).may_send()));
    for port in 10_000..10_500 {
        knock(&mut b, port);
    }
    b.peer.borrow_mut().tcp_socket(handle).send_slice(b"still here").unwrap();
    let answered = b.until(5, |peer| {
        let socket = peer.tcp_socket(handle);
        let mut bytes = [0; 32];
        socket.can_recv() && socket.recv_slice(&mut bytes) == Ok(10) && &bytes[..10] == b"still here"
    });
    assert!(answered, "the connection lost its numbers");
}
