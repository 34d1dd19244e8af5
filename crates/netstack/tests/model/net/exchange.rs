//! Outgoing connections that fail.

use core::net::{Ipv4Addr, SocketAddrV4};
use netstack::stack::StackError;
use testkit::network::{SECOND, configured};
use testkit::peer::PEER_IP;

/// A port of the peer that nothing listens on.
const CLOSED: u16 = 4242;

#[test]
fn a_refused_connection_is_told_apart_from_a_silent_host() {
    let mut b = configured();
    let peer = SocketAddrV4::new(PEER_IP, CLOSED);
    assert_eq!(b.stack.exchange(&b.clock, peer, b"hello", SECOND), Err(StackError::NotConnected(peer)));
    let [a, b1, c, _] = PEER_IP.octets();
    let absent = SocketAddrV4::new(Ipv4Addr::new(a, b1, c, 77), 7);
    let silent = b.stack.exchange(&b.clock, absent, b"hello", SECOND);
    assert!(matches!(silent, Err(StackError::NoAnswer { sent: false, .. })), "{silent:?}");
    // The stack still works: the next attempt fails in the same way.
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    assert_eq!(b.stack.exchange(&b.clock, peer, b"", SECOND), Err(StackError::NotConnected(peer)));
}
