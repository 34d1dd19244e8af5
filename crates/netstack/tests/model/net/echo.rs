//! The echo service on an ideal and on a bad wire.

use netstack::echo::CONNECTIONS;
use smoltcp::socket::tcp;
use smoltcp::wire::IpAddress;
use std::vec::Vec;
use testkit::network::{SERVICE, configured, configured_with_mtu};

#[test]
fn udp_echo_returns_every_size_up_to_the_mtu() {
    let sizes = [0, 1, 2, 17, 18, 19, 512, 1024, 1471, 1472];
    let mut b = configured();
    b.exchange_datagrams(&sizes);
    let echo = b.stack.counters().echo;
    assert_eq!((echo.datagrams, echo.udp_bytes), (10, sizes.iter().sum::<usize>() as u64));
}

#[test]
fn udp_echo_keeps_up_with_a_burst() {
    let mut b = configured();
    let handle = b.peer.borrow_mut().udp(5000);
    for i in 0..60_u8 {
        b.peer.borrow_mut().udp_socket(handle).send_slice(&[i; 1400], SERVICE).unwrap();
    }
    let mut back = 0;
    b.until(2, |peer| {
        while let Ok((echo, _)) = peer.udp_socket(handle).recv() {
            assert_eq!(echo, [back; 1400]);
            back += 1;
        }
        back == 60
    });
    assert_eq!(back, 60);
}

#[test]
fn udp_echo_does_not_answer_another_echo_service() {
    let mut b = configured();
    let handle = b.peer.borrow_mut().udp(7);
    b.peer.borrow_mut().udp_socket(handle).send_slice(b"loop", SERVICE).unwrap();
    assert!(!b.until(1, |peer| peer.udp_socket(handle).can_recv()));
    assert_eq!(b.stack.counters().echo.unanswered, 1);
}

#[test]
fn udp_echo_counts_what_is_too_long_to_be_sent_back() {
    let mut b = configured_with_mtu(1000);
    b.exchange_datagrams(&[972]);
    let handle = b.peer.borrow_mut().udp(5001);
    b.peer.borrow_mut().udp_socket(handle).send_slice(&[0; 973], SERVICE).unwrap();
    assert!(!b.until(1, |peer| peer.udp_socket(handle).can_recv()));
    let echo = b.stack.counters().echo;
    assert_eq!((echo.datagrams, echo.unanswered), (1, 1));
    let connection = b.peer.borrow_mut().connect(40000);
    b.exchange(&[connection], 50_000, 60);
}

#[test]
fn udp_echo_answers_a_broadcast_from_its_own_address() {
    let mut b = configured();
    let handle = b.peer.borrow_mut().udp(5000);
    b.peer.borrow_mut().udp_socket(handle).send_slice(b"all", (IpAddress::v4(10, 0, 2, 255), 7)).unwrap();
    let answered = b.until(1, |peer| match peer.udp_socket(handle).recv() {
        Ok((_, from)) => from.endpoint.addr == SERVICE.0,
        Err(_) => false,
    });
    assert!(answered);
}

#[test]
fn tcp_echo_returns_a_mebibyte_and_closes_after_the_peer_does() {
    let mut b = configured();
    let handle = b.peer.borrow_mut().connect(40000);
    b.exchange(&[handle], 1 << 20, 60);
    let echo = b.stack.counters().echo;
    assert_eq!((echo.connections, echo.tcp_bytes), (1, 1 << 20));
}

#[test]
fn tcp_echo_survives_loss_and_reordering() {
    let mut b = configured();
    b.wire.borrow_mut().lose_one_in = 50;
    b.wire.borrow_mut().swap_one_in = 10;
    let handle = b.peer.borrow_mut().connect(40000);
    b.exchange(&[handle], 1 << 20, 600);
    assert!(b.wire.borrow().lost > 10);
}

#[test]
fn connections_are_served_side_by_side_and_one_too_many_is_refused() {
    let mut b = configured();
    let handles: Vec<_> = (0..=CONNECTIONS as u16).map(|i| b.peer.borrow_mut().connect(40000 + i)).collect();
    let (last, served) = handles.split_last().unwrap();
    assert!(b.until(5, |peer| served.iter().all(|&handle| peer.tcp_socket(handle).may_send())));
    assert!(b.until(5, |peer| peer.tcp_socket(*last).state() == tcp::State::Closed));
    b.exchange(served, 100_000, 60);
    // Closed connections make room for new ones.
    b.until(1, |_| false);
    let again: Vec<_> = (0..CONNECTIONS as u16).map(|i| b.peer.borrow_mut().connect(41000 + i)).collect();
    b.exchange(&again, 1000, 60);
    assert_eq!(b.stack.counters().echo.connections, 2 * CONNECTIONS as u64);
}

#[test]
fn a_peer_that_reads_nothing_delays_no_other() {
    let mut b = configured();
    let greedy = b.peer.borrow_mut().connect(40000);
    let data = std::vec![5; 1 << 16];
    let mut sent = 0;
    b.until(5, |peer| {
        let socket = peer.tcp_socket(greedy);
        if socket.can_send() {
            sent += socket.send_slice(&data).unwrap();
        }
        false
    });
    // At most the peer's two buffers and ours.
    assert!(sent <= 2 * (1 << 16) + 2 * (1 << 15), "{sent}");
    let other = b.peer.borrow_mut().connect(40001);
    b.exchange(&[other], 50_000, 60);
}

#[test]
fn a_reset_connection_frees_its_place() {
    let mut b = configured();
    for round in 0..20 {
        let handle = b.peer.borrow_mut().connect(40000 + round);
        assert!(b.until(5, |peer| peer.tcp_socket(handle).may_send()), "{round}");
        b.peer.borrow_mut().tcp_socket(handle).abort();
        b.until(1, |_| false);
    }
    assert_eq!(b.stack.counters().echo.connections, 20);
}

#[test]
fn a_full_link_delays_but_loses_nothing() {
    let mut b = configured();
    b.stack.link().room = 1;
    let handle = b.peer.borrow_mut().connect(40000);
    b.exchange(&[handle], 100_000, 60);
    assert_eq!(b.stack.counters().frames.unsent, 0);
}

#[test]
fn keep_alives_find_vanished_peers_while_only_datagrams_arrive() {
    let mut b = configured();
    let handles: Vec<_> = (0..CONNECTIONS as u16).map(|i| b.peer.borrow_mut().connect(40000 + i)).collect();
    assert!(b.until(5, |peer| handles.iter().all(|&handle| peer.tcp_socket(handle).may_send())));
    for handle in handles {
        b.peer.borrow_mut().sockets.remove(handle);
    }
    let datagrams = b.peer.borrow_mut().udp(5000);
    let mut back = 0;
    b.until_every(5000, 11, |peer| {
        let socket = peer.udp_socket(datagrams);
        back += u32::from(socket.recv().is_ok());
        socket.send_slice(b"beside them", SERVICE).unwrap();
        false
    });
    assert!(back > 1000, "{back}");
    // The peer answered the keep-alives with a reset, because it has no such connection.
    let again = b.peer.borrow_mut().connect(41000);
    assert!(b.until(1, |peer| peer.tcp_socket(again).may_send()));
}
