//! NET-15: the stack drops or answers any frame, and goes on serving.

use core::net::Ipv4Addr;
use netstack::random::Generator;
use netstack::settings::Addressing;
use netstack::stack::Stack;
use postern_cases::case;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::boxed::Box;
use std::vec::Vec;
use testkit::frames::fill_checksums;
use testkit::frames::{arp, ipv4, udp};
use testkit::network::{SECOND, STATIC, configured};
use testkit::peer::{Offer, PEER_IP, Peer, STACK_IP};
use testkit::wire::{Random, TestClock, TestLink, Wire};

fn tcp(source: Ipv4Addr, control: TcpControl, random: &mut Random) -> Vec<u8> {
    let syn = control == TcpControl::Syn;
    let segment = TcpRepr {
        src_port: 40000 + random.below(3) as u16,
        dst_port: 7,
        control,
        seq_number: TcpSeqNumber(random.next() as i32),
        ack_number: (random.below(2) == 0).then(|| TcpSeqNumber(random.next() as i32)),
        window_len: random.next() as u16,
        window_scale: syn.then(|| random.below(15) as u8),
        max_seg_size: syn.then(|| random.below(3) as u16 * 700),
        sack_permitted: syn && random.below(2) == 0,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"payload",
    };
    let mut bytes = std::vec![0; segment.buffer_len()];
    let (from, to) = (IpAddress::Ipv4(source), IpAddress::Ipv4(STACK_IP));
    segment.emit(&mut TcpPacket::new_unchecked(&mut bytes), &from, &to, &ChecksumCapabilities::default());
    ipv4(source, STACK_IP, IpProtocol::Tcp, &bytes)
}

fn icmp(source: Ipv4Addr, random: &mut Random) -> Vec<u8> {
    let request = Icmpv4Repr::EchoRequest { ident: 0, seq_no: 1, data: b"data" };
    let mut bytes = std::vec![0; request.buffer_len() + random.below(60) as usize];
    let len = request.buffer_len();
    request.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..len]), &ChecksumCapabilities::default());
    // Any type: errors carry the header of a packet that was never sent.
    bytes[0] = [8, 0, 3, 11, 5][random.below(5) as usize];
    if bytes.len() > 8 + 20 {
        bytes[8] = 0x45;
    }
    ipv4(source, STACK_IP, IpProtocol::Icmp, &bytes)
}

fn frame(random: &mut Random) -> Vec<u8> {
    let source = match random.below(8) {
        0 => Ipv4Addr::UNSPECIFIED,
        1 => Ipv4Addr::BROADCAST,
        2 => Ipv4Addr::new(10, 0, 2, 255),
        3 => Ipv4Addr::new(224, 0, 0, 1),
        4 => STACK_IP,
        5 => Ipv4Addr::new(8, 8, 8, 8),
        _ => PEER_IP,
    };
    match random.below(8) {
        0 => arp(source, random.below(4) as u16),
        1 => tcp(source, TcpControl::Syn, random),
        2 => tcp(source, TcpControl::Rst, random),
        3 => tcp(source, TcpControl::Fin, random),
        4 => tcp(source, TcpControl::Psh, random),
        5 => udp(source, STACK_IP, (random.below(9) as u16, 7), b"datagram"),
        6 => udp(source, Ipv4Addr::BROADCAST, (67, 68), &[2; 300]),
        _ => icmp(source, random),
    }
}

#[test]
fn mutated_frames_never_stop_the_stack() {
    case!("NET-15", Work);
    let (clock, wire) = (TestClock::default(), Wire::shared());
    let peer = Peer::shared(&wire, &clock);
    let turn = Box::new({
        let peer = peer.clone();
        move || peer.borrow_mut().turn()
    });
    let mut stack =
        Stack::new(TestLink::new(&wire, turn), Addressing::Dhcp, Generator::new(&[1]), &clock).unwrap();
    peer.borrow_mut().offer = Some(Offer { lease_s: 10, ..Offer::default() });
    stack.configure(&clock, SECOND * 5).unwrap();
    let mut random = Random(2026);
    for round in 0..20_000 {
        let mut hostile = frame(&mut random);
        for _ in 0..random.below(4) {
            let at = random.below(hostile.len() as u64) as usize;
            hostile[at] = random.next() as u8;
        }
        if random.below(8) == 0 {
            let len = random.below(hostile.len() as u64 + 1) as usize;
            hostile.truncate(len);
        }
        if random.below(8) > 0 {
            fill_checksums(&mut hostile);
        }
        wire.borrow_mut().to_stack.push_back(hostile);
        if round % 3 == 0 {
            stack.poll(&clock).unwrap();
            clock.advance_us(2000);
        }
    }
    let counters = stack.counters();
    assert!(counters.frames.received > 5000 && counters.frames.sent > 1000, "{counters:?}");
    assert!(counters.frames.bad_source > 1000 && counters.frames.malformed > 100, "{counters:?}");
    assert!(counters.frames.bad_checksum > 100, "{counters:?}");
    // Once half-open connections have timed out and the lease was renewed or given anew, the stack answers.
    wire.borrow_mut().to_stack.clear();
    peer.borrow_mut().offer = Some(Offer::default());
    stack.serve(&clock, SECOND * 120, |_| false).unwrap();
    assert!(stack.settings().is_some());
    stack.ping(&clock, PEER_IP, SECOND * 2).unwrap();
}

#[test]
fn nothing_is_ever_sent_to_the_unspecified_address() {
    case!("NET-15", Drop);
    let (clock, wire) = (TestClock::default(), Wire::shared());
    let mut stack =
        Stack::new(TestLink::new(&wire, Box::new(|| ())), STATIC, Generator::new(&[1]), &clock).unwrap();
    stack.configure(&clock, SECOND).unwrap();
    for ports in [(9, 9), (9, 7), (67, 68)] {
        wire.borrow_mut().to_stack.push_back(udp(Ipv4Addr::UNSPECIFIED, STACK_IP, ports, b"reply to me"));
    }
    stack.poll(&clock).unwrap();
    assert_eq!(stack.counters().frames.bad_source, 3);
    assert!(wire.borrow().to_peer.is_empty());
}

#[test]
fn a_datagram_from_an_absent_host_does_not_block_the_others_for_ever() {
    for forged_payload in [&b"who is it"[..], b""] {
        let mut b = configured();
        let nobody = Ipv4Addr::new(10, 0, 2, 156);
        b.wire.borrow_mut().to_stack.push_back(udp(nobody, STACK_IP, (5000, 7), forged_payload));
        b.until(4, |_| false);
        assert_eq!(b.stack.counters().echo.stalls, 1);
        b.exchange_datagrams(&[0, 100, 0]);
        b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
    }
}
