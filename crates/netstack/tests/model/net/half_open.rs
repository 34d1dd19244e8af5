//! Peers that send a SYN and do not complete the handshake.

use netstack::echo::CONNECTIONS;
use papr::clock::Clock;
use postern_cases::case;
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetFrame, IpProtocol, Ipv4Packet, TcpPacket};
use std::vec::Vec;
use testkit::network::{Bench, NOBODY, SECOND, configured};
use testkit::peer::PEER_IP;
use testkit::wire::TestLink;

/// A bench with so many half-open connections to `port`.
fn flooded(port: u16, flood: u16) -> Bench<TestLink> {
    let mut b = configured();
    // The gateway's hardware address is known, so that no answer waits for ARP.
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    b.wire.borrow_mut().seen = Some(Vec::new());
    b.ask(port, 20_000..20_000 + flood);
    b
}

/// SYN-ACKs and RSTs that were sent to the port of `NOBODY`.
fn answers(b: &Bench<TestLink>, port: u16) -> (usize, usize) {
    let wire = b.wire.borrow();
    let flags = wire.seen.iter().flatten().filter_map(|frame| {
        let packet = Ipv4Packet::new_checked(EthernetFrame::new_checked(frame).ok()?.payload()).ok()?;
        let to_nobody = packet.dst_addr() == NOBODY && packet.next_header() == IpProtocol::Tcp;
        let segment = TcpPacket::new_checked(packet.payload()).ok().filter(|_| to_nobody)?;
        (segment.dst_port() == port).then(|| (segment.syn() && segment.ack(), segment.rst()))
    });
    flags.fold((0, 0), |sum, flags| (sum.0 + usize::from(flags.0), sum.1 + usize::from(flags.1)))
}

#[test]
fn the_echo_is_served_during_a_flood_of_half_open_connections() {
    case!("NET-18", Work);
    for flood in [7, 8, 9, 12, 13, 60] {
        let mut b = flooded(7, flood);
        let start = b.clock.now();
        let honest = b.peer.borrow_mut().connect(40000);
        b.exchange(&[honest], 50_000, 2);
        assert!(b.clock.now() - start < b.clock.frequency(), "{flood}: without a second SYN");
        assert_eq!(b.stack.counters().echo.connections, 1);
        assert_eq!(b.stack.counters().echo.displaced, u64::from(flood + 1).saturating_sub(12), "{flood}");
    }
}

#[test]
fn the_echo_is_served_while_a_flood_goes_on() {
    case!("NET-18", Work);
    let mut b = flooded(7, 30);
    for round in 0..20 {
        let honest = b.peer.borrow_mut().connect(40_000 + round);
        for from in 0..3 {
            b.ask(7, 21_000 + 3 * round + from..21_001 + 3 * round + from);
        }
        b.exchange(&[honest], 5000, 2);
    }
    assert_eq!(b.stack.counters().echo.connections, 20);
}

#[test]
fn a_half_open_connection_holds_its_socket_for_five_seconds_and_is_answered_three_times() {
    case!("NET-18", Clamp);
    let mut b = flooded(7, 1);
    b.until_every(50_000, 4, |_| false);
    assert_eq!(answers(&b, 20_000), (3, 0), "after 0, 1 and 3 seconds");
    b.until_every(50_000, 2, |_| false);
    assert_eq!(answers(&b, 20_000), (3, 1), "then it is reset");
    b.until_every(50_000, 60, |_| false);
    assert_eq!(answers(&b, 20_000), (3, 1), "and forgotten");
}

#[test]
fn repeated_syns_take_no_second_socket_and_displace_no_connection() {
    let mut b = flooded(7, 12);
    for _ in 0..20 {
        b.ask(7, 20_000..20_012);
    }
    assert_eq!(b.stack.counters().echo.displaced, 0);
}

#[test]
fn connections_that_are_served_are_not_displaced_by_a_flood() {
    case!("NET-18", Work);
    let mut b = configured();
    let most = CONNECTIONS as u16;
    let served: Vec<_> = (0..most - 1).map(|i| b.peer.borrow_mut().connect(40000 + i)).collect();
    assert!(b.until(5, |peer| served.iter().all(|&handle| peer.tcp_socket(handle).may_send())));
    b.ask(7, 20_000..20_060);
    let last = b.peer.borrow_mut().connect(40000 + most);
    b.exchange(&[last], 10_000, 2);
    b.exchange(&served, 10_000, 5);
}

#[test]
fn a_connection_beyond_the_limit_is_refused_at_once() {
    let mut b = configured();
    let most = CONNECTIONS as u16;
    let all: Vec<_> = (0..most).map(|i| b.peer.borrow_mut().connect(40000 + i)).collect();
    assert!(b.until(5, |peer| all.iter().all(|&handle| peer.tcp_socket(handle).may_send())));
    let extra = b.peer.borrow_mut().connect(41000);
    assert!(b.until(1, |peer| peer.tcp_socket(extra).state() == tcp::State::Closed));
    // When one of them is over, its place is free.
    b.exchange(&all[..1], 100, 5);
    b.until(1, |_| false);
    let next = b.peer.borrow_mut().connect(41001);
    b.exchange(&[next], 100, 5);
    b.exchange(&all[1..], 100, 5);
}

#[test]
fn peers_that_vanish_after_their_last_byte_make_room() {
    case!("NET-18", Work);
    let mut b = configured();
    for round in 0..10 {
        let gone: Vec<_> =
            (0..CONNECTIONS as u16).map(|i| b.peer.borrow_mut().connect(40_000 + 100 * round + i)).collect();
        assert!(b.until(2, |peer| gone.iter().all(|&handle| peer.tcp_socket(handle).may_send())), "{round}");
        // They send a FIN, and all answers to it are lost.
        for &handle in &gone {
            b.peer.borrow_mut().tcp_socket(handle).close();
        }
        b.peer.borrow_mut().turn();
        b.wire.borrow_mut().lose_one_in = 1;
        b.stack.poll(&b.clock).unwrap();
        b.wire.borrow_mut().lose_one_in = 0;
        for handle in gone {
            b.peer.borrow_mut().sockets.remove(handle);
        }
    }
}
