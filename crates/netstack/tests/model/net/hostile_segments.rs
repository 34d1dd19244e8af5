//! A peer that completes the handshake and then sends arbitrary segments, whose sequence numbers are right or nearly
//! right. The stack goes on serving.

use postern_cases::case;
use smoltcp::wire::IpProtocol;
use std::boxed::Box;
use std::vec::Vec;
use testkit::frames::fill_checksums;
use testkit::frames::{arp, ipv4};
use testkit::network::{SECOND, configured};
use testkit::peer::{PEER_IP, STACK_IP};
use testkit::wire::Random;

const SYN: u8 = 2;
const ACK: u8 = 0x10;
/// Where TCP's header begins in a frame.
const TCP: usize = 14 + 20;

/// A segment with any flags, window, urgent pointer and options, from the peer to the echo service.
fn segment(port: u16, seq: u32, ack: u32, flags: u8, random: &mut Random, payload: usize) -> Vec<u8> {
    let options: Vec<u8> = (0..random.below(2) * random.below(11) * 4).map(|_| option_byte(random)).collect();
    let mut bytes = Vec::new();
    bytes.extend(port.to_be_bytes());
    bytes.extend(7_u16.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    // Mostly the real length of the header.
    let words = if random.below(32) == 0 { random.below(16) } else { 5 + options.len() as u64 / 4 };
    bytes.extend([(words << 4) as u8, flags]);
    bytes.extend([0, 0xffff, random.next() as u16][random.below(3) as usize].to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((random.next() as u16).to_be_bytes());
    bytes.extend(options);
    bytes.extend((0..payload).map(|_| random.next() as u8));
    let mut frame = ipv4(PEER_IP, STACK_IP, IpProtocol::Tcp, &bytes);
    fill_checksums(&mut frame);
    frame
}

/// Kinds and lengths of options, right ones and others.
fn option_byte(random: &mut Random) -> u8 {
    [0, 1, 2, 3, 4, 5, 8, 10, 14, 0x1e, 0xff, random.next() as u8][random.below(12) as usize]
}

/// Sequence and acknowledgement number of a segment that the stack sent, and its flags.
fn said(frame: &[u8]) -> Option<(u32, u32, u8)> {
    let word = |at: usize| Some(u32::from_be_bytes(*frame.get(TCP + at..)?.first_chunk()?));
    let is_tcp = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&6);
    is_tcp.then(|| Some((word(4)?, word(8)?, *frame.get(TCP + 13)?))).flatten()
}

#[test]
fn arbitrary_segments_within_a_connection_never_stop_the_stack() {
    case!("NET-15", Work);
    case!("IRQ-11", Work);
    let mut b = configured();
    let honest = core::mem::replace(&mut b.stack.link().turn, Box::new(|| ()));
    let mut random = Random(1127);
    let (mut handshakes, mut answered) = (0, 0);
    for round in 0..1000_u32 {
        let port = 30_000 + (round % 20_000) as u16;
        let start = random.next() as u32;
        b.wire.borrow_mut().to_peer.clear();
        let syn = segment(port, start, 0, SYN, &mut random, 0);
        b.wire.borrow_mut().to_stack.extend([arp(PEER_IP, 1), syn]);
        b.stack.poll(&b.clock).unwrap();
        let answer = b.wire.borrow_mut().to_peer.drain(..).filter_map(|frame| said(&frame)).next_back();
        let Some((theirs, _, flags)) = answer.filter(|(.., flags)| flags & SYN != 0) else { continue };
        assert_eq!(flags & ACK, ACK);
        handshakes += 1;
        let (mut ours, mut theirs) = (start.wrapping_add(1), theirs.wrapping_add(1));
        for _ in 0..40 {
            let near = |n: u32, random: &mut Random| match random.below(6) {
                0 => n.wrapping_sub(random.below(3000) as u32),
                1 => n.wrapping_add(random.below(70_000) as u32),
                2 => random.next() as u32,
                _ => n,
            };
            let payload = random.below(3) as usize * random.below(700) as usize;
            // Any flags, but RST, SYN and FIN only now and then, as they end the connection.
            let mut flags = random.next() as u8 | ACK;
            if random.below(12) > 0 {
                flags &= !(SYN | 4);
            }
            if random.below(6) > 0 {
                flags &= !1;
            }
            let (seq, ack) = (near(ours, &mut random), near(theirs, &mut random));
            let hostile = segment(port, seq, ack, flags, &mut random, payload);
            b.wire.borrow_mut().to_stack.push_back(hostile);
            if random.below(3) > 0 {
                b.stack.poll(&b.clock).unwrap();
                // Now and then long enough for retransmissions, or more than a week.
                let wait = match random.below(300) {
                    0 => 700_000_000_000,
                    n => [100, 2000, 900_000][n as usize % 3],
                };
                b.clock.advance_us(wait);
            }
            for (seq, ack, _) in b.wire.borrow_mut().to_peer.drain(..).filter_map(|frame| said(&frame)) {
                (ours, theirs) = (ack, seq);
                answered += 1;
            }
        }
    }
    assert!(handshakes > 300 && answered > 10_000, "{handshakes} handshakes, {answered} answers");
    // What is half open times out, and an honest peer is served.
    b.wire.borrow_mut().to_stack.clear();
    b.stack.link().turn = honest;
    b.until_every(100_000, 600, |_| false);
    b.stack.ping(&b.clock, PEER_IP, SECOND * 2).unwrap();
}
