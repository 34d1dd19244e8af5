//! The stack's own part: addresses, ping, bounds, refusals.

use core::net::Ipv4Addr;
use core::time::Duration;
use netstack::dhcp::LeaseError;
use netstack::random::Generator;
use netstack::settings::{Addressing, Settings, SettingsError};
use netstack::stack::Stack;
use netstack::stack::StackError;
use papr::clock::Clock;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress};
use std::boxed::Box;
use std::vec::Vec;
use testkit::network::{SECOND, STATIC, bench, configured};
use testkit::peer::{Offer, PEER_IP, STACK_IP};
use testkit::wire::{TestClock, TestLink, Wire};
use virtio_pci::net::link::MacAddr;

#[test]
fn dhcp_gives_address_prefix_and_gateway() {
    let mut b = bench(Addressing::Dhcp);
    b.peer.borrow_mut().offer = Some(Offer::default());
    let settings = b.stack.configure(&b.clock, 5 * SECOND).unwrap();
    assert_eq!(settings, Settings { address: STACK_IP, prefix: 24, gateway: Some(PEER_IP) });
    assert_eq!(b.stack.settings(), Some(settings));
    assert!(b.stack.link_up());
}

#[test]
fn dhcp_asks_again_when_a_request_is_lost() {
    let mut b = bench(Addressing::Dhcp);
    b.peer.borrow_mut().offer = Some(Offer { ignore: 2, ..Offer::default() });
    assert!(b.stack.configure(&b.clock, 10 * SECOND).is_ok());
}

#[test]
fn dhcp_silence_ends_in_a_named_error() {
    let mut b = bench(Addressing::Dhcp);
    let error = b.stack.configure(&b.clock, 3 * SECOND).unwrap_err();
    assert_eq!(error, StackError::NoLease { waited: 3 * SECOND, link_up: true, refused: None });
    b.stack.link().up = false;
    let error = b.stack.configure(&b.clock, SECOND).unwrap_err();
    assert_eq!(error, StackError::NoLease { waited: SECOND, link_up: false, refused: None });
}

#[test]
fn dhcp_wait_ends_even_when_the_clock_stands_still() {
    struct Stopped;
    impl Clock for Stopped {
        fn now(&self) -> u64 {
            5
        }
        fn frequency(&self) -> u64 {
            512_000_000
        }
    }
    let wire = Wire::shared();
    let link = TestLink::new(&wire, Box::new(|| ()));
    let mut stack = Stack::new(link, Addressing::Dhcp, Generator::new(&[1]), &Stopped).unwrap();
    assert!(matches!(stack.configure(&Stopped, Duration::from_millis(1)), Err(StackError::NoLease { .. })));
}

#[test]
fn unusable_leases_are_refused_by_name() {
    let mut b = bench(Addressing::Dhcp);
    let address = Ipv4Addr::new(127, 0, 0, 1);
    b.peer.borrow_mut().offer = Some(Offer { address, ..Offer::default() });
    let error = b.stack.configure(&b.clock, 2 * SECOND).unwrap_err();
    let refused = Some(LeaseError::Settings(SettingsError::Address(address)));
    assert_eq!(error, StackError::NoLease { waited: 2 * SECOND, link_up: true, refused });
    assert!(b.stack.counters().leases_refused > 0);
}

#[test]
fn a_gateway_outside_the_network_is_left_out() {
    for router in [Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, STACK_IP] {
        let mut b = bench(Addressing::Dhcp);
        b.peer.borrow_mut().offer = Some(Offer { router: Some(router), ..Offer::default() });
        assert_eq!(b.stack.configure(&b.clock, 5 * SECOND).unwrap().gateway, None, "{router}");
    }
}

#[test]
fn a_lease_is_renewed_and_one_that_ends_takes_the_address_away() {
    let mut b = bench(Addressing::Dhcp);
    b.peer.borrow_mut().offer = Some(Offer { lease_s: 120, ..Offer::default() });
    b.stack.configure(&b.clock, 5 * SECOND).unwrap();
    assert!(b.until_every(100_000, 100, |peer| peer.acks >= 2));
    b.peer.borrow_mut().offer = None;
    b.until_every(100_000, 150, |_| false);
    assert_eq!(b.stack.settings(), None);
}

#[test]
fn ping_gives_the_round_trip_time() {
    let mut b = configured();
    let first = b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    let second = b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    assert!(first > Duration::ZERO && first < SECOND);
    assert!(second > Duration::ZERO && second < Duration::from_millis(10), "{second:?}");
}

#[test]
fn ping_failures_say_why() {
    let mut b = bench(STATIC);
    assert_eq!(b.stack.ping(&b.clock, PEER_IP, SECOND), Err(StackError::NotConfigured));
    b.stack.configure(&b.clock, SECOND).unwrap();
    let host = Ipv4Addr::new(10, 0, 2, 99);
    let error = b.stack.ping(&b.clock, host, SECOND).unwrap_err();
    assert_eq!(error, StackError::NoAnswer { host, waited: SECOND, sent: false });
    // The failed ARP request does not delay the next ping.
    b.stack.ping(&b.clock, PEER_IP, 2 * SECOND).unwrap();
    // The peer does not forward.
    let host = Ipv4Addr::new(8, 8, 8, 8);
    let error = b.stack.ping(&b.clock, host, SECOND).unwrap_err();
    assert_eq!(error, StackError::NoAnswer { host, waited: SECOND, sent: true });

    let alone = Addressing::Static(Settings { address: STACK_IP, prefix: 24, gateway: None });
    let mut b = bench(alone);
    b.stack.configure(&b.clock, SECOND).unwrap();
    assert_eq!(b.stack.ping(&b.clock, host, SECOND), Err(StackError::NoRoute(host)));
}

#[test]
fn echo_requests_of_every_size_are_answered() {
    let mut b = configured();
    let handle = b.peer.borrow_mut().icmp(0x77);
    for size in [0, 1, 56, 1000, 1472] {
        let data: Vec<u8> = (0..size).map(|i| (i * 7) as u8).collect();
        {
            let mut peer = b.peer.borrow_mut();
            let socket = peer.sockets.get_mut::<icmp::Socket<'_>>(handle);
            let request = Icmpv4Repr::EchoRequest { ident: 0x77, seq_no: size as u16, data: &data };
            let room = socket.send(request.buffer_len(), IpAddress::Ipv4(STACK_IP)).unwrap();
            request.emit(&mut Icmpv4Packet::new_unchecked(room), &Default::default());
        }
        let answered = b.until(2, |peer| {
            let Ok((message, _)) = peer.sockets.get_mut::<icmp::Socket<'_>>(handle).recv() else {
                return false;
            };
            let packet = Icmpv4Packet::new_checked(message).unwrap();
            let reply = Icmpv4Repr::parse(&packet, &Default::default()).unwrap();
            assert_eq!(reply, Icmpv4Repr::EchoReply { ident: 0x77, seq_no: size as u16, data: &data });
            true
        });
        assert!(answered, "{size}");
    }
    assert_eq!(b.stack.counters().frames.echo_requests, 5);
}

#[test]
fn one_poll_does_a_bounded_amount_of_work() {
    let mut b = configured();
    for _ in 0..1000 {
        b.wire.borrow_mut().to_stack.push_back(std::vec![0; 60]);
    }
    b.stack.poll(&b.clock).unwrap();
    assert_eq!(b.wire.borrow().to_stack.len(), 1000 - 64);
    assert_eq!(b.stack.counters().frames.foreign, 64);
    assert_eq!(b.stack.link().recycled, 64);
}

#[test]
fn a_broken_link_ends_every_call_with_its_reason() {
    let mut b = configured();
    b.stack.link().broken = Some("used id out of range");
    let gone = StackError::Link("used id out of range");
    assert_eq!(b.stack.poll(&b.clock), Err(gone.clone()));
    assert_eq!(b.stack.ping(&b.clock, PEER_IP, SECOND), Err(gone.clone()));
    assert_eq!(b.stack.serve(&b.clock, SECOND, |_| false), Err(gone));
}

#[test]
fn unusable_links_and_configurations_are_refused() {
    let (clock, wire) = (TestClock::default(), Wire::shared());
    let link = || TestLink::new(&wire, Box::new(|| ()));
    let group = TestLink { mac: MacAddr([0xff; 6]), ..link() };
    assert_eq!(
        Stack::new(group, STATIC, Generator::new(&[1]), &clock).err(),
        Some(StackError::Mac(MacAddr([0xff; 6])))
    );
    let narrow = TestLink { mtu: 575, ..link() };
    assert_eq!(Stack::new(narrow, STATIC, Generator::new(&[1]), &clock).err(), Some(StackError::Mtu(575)));
    let wrong = Settings { address: STACK_IP, prefix: 40, gateway: None };
    let error = Stack::new(link(), Addressing::Static(wrong), Generator::new(&[1]), &clock).err();
    assert_eq!(error, Some(StackError::Settings(SettingsError::Prefix(40))));
}

#[test]
fn serving_ends_by_time_and_on_request() {
    let mut b = configured();
    let before = b.clock.now();
    b.stack.serve(&b.clock, SECOND, |_| false).unwrap();
    assert!(b.clock.now() - before >= b.clock.frequency());
    let mut turns = 0;
    let third = |_: &mut _| {
        turns += 1;
        turns == 3
    };
    b.stack.serve(&b.clock, 1000 * SECOND, third).unwrap();
    assert_eq!(turns, 3);
}

#[test]
fn a_flapping_link_is_counted() {
    let mut b = configured();
    for turn in 0..40 {
        b.stack.link().up = turn % 2 == 0;
        b.clock.advance_us(150_000);
        b.stack.poll(&b.clock).unwrap();
    }
    assert_eq!(b.stack.counters().link_changes, 40);
}

/// An echo request with a tag of this control information, its frame padded or not.
fn tagged_ping(tag: [u8; 2], size: usize) -> Vec<u8> {
    let data = std::vec![0x5a; size];
    let request = Icmpv4Repr::EchoRequest { ident: 9, seq_no: 1, data: &data };
    let mut message = std::vec![0; request.buffer_len()];
    request.emit(&mut Icmpv4Packet::new_unchecked(&mut message), &Default::default());
    let mut frame = testkit::frames::ipv4(PEER_IP, STACK_IP, smoltcp::wire::IpProtocol::Icmp, &message);
    frame.splice(12..12, [0x81, 0x00, tag[0], tag[1]]);
    frame
}

#[test]
fn a_frame_with_a_priority_and_no_vlan_is_answered_and_one_of_a_vlan_is_not() {
    let mut b = configured();
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    let mut answered = 0;
    for (tag, answer) in
        [([0, 0], 1), ([0xe0, 0], 1), ([0x10, 0], 1), ([0, 1], 0), ([0x0f, 0xff], 0), ([0xe1, 0], 0)]
    {
        for size in [0, 56, 1472] {
            b.wire.borrow_mut().to_stack.push_back(tagged_ping(tag, size));
            b.stack.poll(&b.clock).unwrap();
            answered += answer;
            assert_eq!(b.stack.counters().frames.echo_requests, answered, "{tag:x?}, {size} bytes");
        }
    }
    assert_eq!(b.stack.counters().frames.foreign, 9);
    // Two tags, and frames that end inside a tag.
    let mut twice = tagged_ping([0, 0], 56);
    twice.splice(12..12, [0x81, 0x00, 0, 0]);
    b.wire.borrow_mut().to_stack.push_back(twice);
    for len in 12..18 {
        let mut short = tagged_ping([0, 0], 56);
        short.truncate(len);
        b.wire.borrow_mut().to_stack.push_back(short);
    }
    b.stack.poll(&b.clock).unwrap();
    assert_eq!(b.stack.counters().frames.echo_requests, answered);
}
