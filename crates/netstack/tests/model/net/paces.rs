//! How often the stack sends by itself to peers that are silent, stop reading or refuse, counted on the wire. Packets of
//! `smoltcp` count as the stack's. docs/paces.md is the table.

use core::net::Ipv4Addr;
use netstack::stack::StackError;
use smoltcp::iface::SocketHandle;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet, TcpPacket,
};
use std::vec::Vec;
use testkit::frames::udp;
use testkit::network::{Bench, SECOND, configured};
use testkit::peer::{PEER_IP, STACK_IP};
use testkit::wire::TestLink;

/// An address of the network that no host has.
const ABSENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 99);

/// What was sent since the wire was last watched, by kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    arp: usize,
    pings: usize,
    unreachable: usize,
    /// Segments with data, without, and resets.
    data: usize,
    bare: usize,
    resets: usize,
}

fn watch(b: &mut Bench<TestLink>) {
    b.wire.borrow_mut().seen = Some(Vec::new());
}

fn sent(b: &Bench<TestLink>) -> Sent {
    let mut sent = Sent::default();
    for frame in b.wire.borrow().seen.iter().flatten() {
        let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
        if frame.ethertype() == EthernetProtocol::Arp {
            sent.arp += 1;
            continue;
        }
        let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
        match packet.next_header() {
            IpProtocol::Icmp => match Icmpv4Packet::new_checked(packet.payload()).unwrap().msg_type() {
                Icmpv4Message::EchoRequest => sent.pings += 1,
                Icmpv4Message::DstUnreachable => sent.unreachable += 1,
                _ => {}
            },
            IpProtocol::Tcp => {
                let segment = TcpPacket::new_checked(packet.payload()).unwrap();
                match (segment.rst(), segment.payload().is_empty()) {
                    (true, _) => sent.resets += 1,
                    (false, true) => sent.bare += 1,
                    (false, false) => sent.data += 1,
                }
            }
            _ => {}
        }
    }
    sent
}

fn connected() -> (Bench<TestLink>, SocketHandle) {
    let mut b = configured();
    let handle = b.peer.borrow_mut().connect(40000);
    // Only the stack may end the connection.
    b.peer.borrow_mut().tcp_socket(handle).set_timeout(None);
    assert!(b.until(2, |peer| peer.tcp_socket(handle).may_send()));
    (b, handle)
}

/// From now on every frame is lost.
fn cut(b: &mut Bench<TestLink>) {
    b.wire.borrow_mut().lose_one_in = 1;
    watch(b);
}

#[test]
fn an_absent_host_gets_one_arp_request_a_second_and_no_ping() {
    let mut b = configured();
    watch(&mut b);
    assert!(matches!(b.stack.ping(&b.clock, ABSENT, 10 * SECOND), Err(StackError::NoAnswer { .. })));
    let sent = sent(&b);
    assert_eq!(sent, Sent { arp: 10, ..Sent::default() });
}

#[test]
fn datagrams_from_absent_hosts_lead_to_one_arp_request_a_second_until_they_are_dropped() {
    let mut b = configured();
    watch(&mut b);
    for host in 100..200 {
        let from = Ipv4Addr::new(10, 0, 2, host);
        b.wire.borrow_mut().to_stack.push_back(udp(from, STACK_IP, (5000, 7), b"who is it"));
    }
    b.until_every(10_000, 10, |_| false);
    let sent = sent(&b);
    // After `STALL` all datagrams are dropped.
    assert_eq!(sent, Sent { arp: 2, ..Sent::default() });
    assert_eq!(b.stack.counters().echo.stalls, 1);
}

#[test]
fn a_ping_that_is_not_answered_is_sent_once() {
    let mut b = configured();
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    cut(&mut b);
    assert!(b.stack.ping(&b.clock, PEER_IP, 10 * SECOND).is_err());
    assert_eq!(sent(&b), Sent { pings: 1, ..Sent::default() });
}

#[test]
fn data_for_a_peer_that_vanished_is_sent_five_times_in_thirty_seconds_and_then_reset() {
    let (mut b, handle) = connected();
    b.peer.borrow_mut().tcp_socket(handle).send_slice(&[7; 1000]).unwrap();
    b.peer.borrow_mut().turn();
    cut(&mut b);
    b.until_every(10_000, 120, |_| false);
    let sent = sent(&b);
    // At once and, as nothing answers, after 1, 3, 7 and 15 seconds.
    assert_eq!(sent, Sent { data: 5, resets: 1, ..Sent::default() });
}

#[test]
fn an_idle_peer_gets_a_keep_alive_every_ten_seconds() {
    let (mut b, _) = connected();
    b.until(1, |_| false);
    watch(&mut b);
    b.until_every(10_000, 100, |_| false);
    let sent = sent(&b);
    // A keep-alive of `smoltcp` carries a byte that was acknowledged before.
    assert_eq!(sent, Sent { data: 10, ..Sent::default() });
}

#[test]
fn a_vanished_idle_peer_gets_two_keep_alives_and_a_reset() {
    let (mut b, _) = connected();
    b.until(1, |_| false);
    cut(&mut b);
    b.until_every(10_000, 120, |_| false);
    let sent = sent(&b);
    // After 10 and 20 seconds; `GIVE_UP` is 30.
    assert_eq!(sent, Sent { data: 2, resets: 1, ..Sent::default() });
}

#[test]
fn a_closed_window_is_probed_ever_more_slowly_and_reset_after_a_minute() {
    let (mut b, handle) = connected();
    let data = std::vec![5; 1 << 16];
    b.until(10, |peer| {
        let socket = peer.tcp_socket(handle);
        if socket.can_send() {
            socket.send_slice(&data).unwrap();
        }
        false
    });
    assert!(
        b.peer.borrow_mut().tcp_socket(handle).may_send(),
        "a pause of ten seconds does not end the connection"
    );
    watch(&mut b);
    b.until_every(10_000, 300, |_| false);
    let sent = sent(&b);
    // The window was probed after 1, 3 and 7 seconds, before the count began, then after 15 and 31. Half a minute without
    // a segment that the peer sends by itself ends the connection.
    assert_eq!(sent, Sent { data: 2, bare: 2, resets: 1, ..Sent::default() });
    let next = b.peer.borrow_mut().connect(40001);
    b.exchange(&[next], 5000, 5);
}

#[test]
fn each_datagram_to_a_closed_port_is_refused_once() {
    let mut b = configured();
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    watch(&mut b);
    for port in 0..50 {
        b.wire.borrow_mut().to_stack.push_back(udp(PEER_IP, STACK_IP, (5000, 2000 + port), b"anyone"));
    }
    b.until_every(10_000, 60, |_| false);
    assert_eq!(sent(&b), Sent { unreachable: 50, ..Sent::default() });
}
