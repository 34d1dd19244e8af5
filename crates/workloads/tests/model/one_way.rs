//! The services of ports 9 and 19.

use netstack::stack::ServiceId;
use smoltcp::socket::tcp;
use smoltcp::wire::IpAddress;
use testkit::frames::udp;
use testkit::network::{Bench, SECOND, configured};
use testkit::peer::{PEER_IP, STACK_IP};
use testkit::wire::TestLink;
use workloads::one_way::{self, DATAGRAM, DISCARD_PORT, OneWay, OneWayCounters, SOURCE_PORT, pattern_byte};

const SOURCE: (IpAddress, u16) = (IpAddress::Ipv4(STACK_IP), SOURCE_PORT);
const SINK: (IpAddress, u16) = (IpAddress::Ipv4(STACK_IP), DISCARD_PORT);

fn open() -> (Bench<TestLink>, ServiceId<OneWay>) {
    let mut b = configured();
    let service = one_way::offer(&mut b.stack);
    (b, service)
}

fn counters(b: &mut Bench<TestLink>, service: &ServiceId<OneWay>) -> OneWayCounters {
    b.stack.service(service).unwrap().service.counters()
}

#[test]
fn the_pattern_is_that_of_rfc_864() {
    let line = |n: usize| (n * 74..(n + 1) * 74).map(pattern_byte).collect::<std::vec::Vec<_>>();
    assert_eq!(line(0), b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n");
    assert_eq!(line(1)[..3], *b"!\"#");
    assert_eq!((line(24)[70], line(24)[71]), (b'~', b' '));
}

#[test]
fn a_stream_is_discarded_to_its_end_and_then_closed() {
    let (mut b, service) = open();
    for round in 1..=3 {
        let handle = b.peer.borrow_mut().connect_to(DISCARD_PORT, 40000 + round);
        let mut sent = 0;
        let done = b.until(60, |peer| {
            let socket = peer.tcp_socket(handle);
            if socket.can_send() && sent < 1 << 20 {
                let rest = ((1 << 20) - sent).min(1 << 16);
                sent += socket.send_slice(&std::vec![7; rest]).unwrap();
                if sent == 1 << 20 {
                    socket.close();
                }
            }
            assert!(!socket.can_recv());
            sent == 1 << 20 && !socket.may_recv()
        });
        assert!(done, "{sent}");
        assert_eq!(counters(&mut b, &service).discarded_bytes, u64::from(round) << 20);
    }
}

#[test]
fn a_source_sends_its_pattern_until_the_peer_closes_and_one_without_a_reader_holds_up_only_itself() {
    let (mut b, _) = open();
    let idle = b.peer.borrow_mut().connect_to(SOURCE_PORT, 39999);
    for round in 0..3 {
        let handle = b.peer.borrow_mut().connect_to(SOURCE_PORT, 40000 + round);
        let mut got = 0;
        let enough = b.until(60, |peer| {
            let socket = peer.tcp_socket(handle);
            while socket.can_recv() {
                socket
                    .recv(|bytes| {
                        assert!((got..).zip(bytes.iter()).all(|(i, &byte)| byte == pattern_byte(i % 7030)));
                        got += bytes.len();
                        (bytes.len(), ())
                    })
                    .unwrap();
            }
            got > 300_000
        });
        assert!(enough, "{got}");
        b.peer.borrow_mut().tcp_socket(handle).close();
        let closed = b.until(30, |peer| {
            let socket = peer.tcp_socket(handle);
            let _ = socket.recv(|bytes| (bytes.len(), ()));
            !socket.may_recv()
        });
        assert!(closed);
    }
    // Its buffer and the peer's, not more.
    b.until(1, |_| false);
    assert!(b.peer.borrow_mut().tcp_socket(idle).recv_queue() <= 1 << 16);
}

#[test]
fn datagrams_to_the_sink_are_counted_and_get_no_answer() {
    let (mut b, service) = open();
    let handle = b.peer.borrow_mut().udp(5000);
    for _ in 0..50 {
        b.peer.borrow_mut().udp_socket(handle).send_slice(&[1; 1400], SINK).unwrap();
    }
    assert!(!b.until(1, |peer| peer.udp_socket(handle).can_recv()));
    assert_eq!(counters(&mut b, &service).discarded_datagrams, 50);
}

#[test]
fn a_datagram_to_the_source_gets_one_back_unless_a_service_or_a_stranger_asks() {
    let (mut b, service) = open();
    let handle = b.peer.borrow_mut().udp(5000);
    for _ in 0..50 {
        b.peer.borrow_mut().udp_socket(handle).send_slice(&[1], SOURCE).unwrap();
    }
    let mut back = 0;
    b.until(1, |peer| {
        while let Ok((data, _)) = peer.udp_socket(handle).recv() {
            assert!(data.len() == DATAGRAM && (0..).zip(data).all(|(i, &byte)| byte == pattern_byte(i)));
            back += 1;
        }
        false
    });
    assert_eq!(back, 50);
    for port in [7, 19] {
        let service = b.peer.borrow_mut().udp(port);
        b.peer.borrow_mut().udp_socket(service).send_slice(&[1], SOURCE).unwrap();
        assert!(!b.until(1, |peer| peer.udp_socket(service).can_recv()), "{port}");
    }
    assert_eq!(counters(&mut b, &service).unanswered, 2);
    // The gateway would carry an answer to anybody; it is asked for none.
    let forged = udp([192, 0, 2, 9].into(), STACK_IP, (5000, SOURCE_PORT), b"?");
    b.wire.borrow_mut().to_stack.push_back(forged);
    b.until(1, |_| false);
    let one_way = counters(&mut b, &service);
    assert_eq!((one_way.sent_datagrams, one_way.unanswered), (50, 3));
}

#[test]
fn no_client_is_served_before_the_services_open_nor_after_they_close() {
    let mut b = configured();
    let mut service = None;
    for (round, open) in [(0, false), (1, true), (2, false)] {
        match service.take() {
            None if open => service = Some(one_way::offer(&mut b.stack)),
            None => {}
            Some(service) => b.stack.close(service),
        }
        for port in [DISCARD_PORT, SOURCE_PORT] {
            let handle = b.peer.borrow_mut().connect_to(port, 40000 + round * 100 + port);
            let refused = b.until(2, |peer| peer.tcp_socket(handle).state() == tcp::State::Closed);
            assert_eq!(refused, !open, "{port}");
        }
    }
}

#[test]
fn the_sink_is_served_during_a_flood() {
    let (mut b, _) = open();
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    b.ask(DISCARD_PORT, 20_000..20_050);
    let honest = b.peer.borrow_mut().connect_to(DISCARD_PORT, 40000);
    assert!(b.until(1, |peer| peer.tcp_socket(honest).may_send()));
}
