//! NET-19: pings in fragments are answered; all other fragments are dropped, and hold little memory for a short time.

use core::net::Ipv4Addr;
use core::ops::Range;
use postern_cases::case;
use proptest::prelude::*;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Packet};
use std::vec::Vec;
use testkit::network::{Bench, NOBODY, SECOND, configured, configured_with_mtu, noise};
use testkit::peer::{PEER_IP, STACK_IP};
use testkit::wire::TestLink;

/// Data of the longest ping that is answered: 8 KiB with its header.
const LONGEST: usize = 8184;
/// Bytes of a message in a fragment that fills a frame.
const FULL: usize = 1480;
const ETHERNET: usize = 14;

fn message(data: &[u8]) -> Vec<u8> {
    let request = Icmpv4Repr::EchoRequest { ident: 9, seq_no: 1, data };
    let mut message = std::vec![0; request.buffer_len()];
    request.emit(&mut Icmpv4Packet::new_unchecked(&mut message), &Default::default());
    message
}

/// A frame with these bytes of a message; `edit` changes its header.
fn fragment(
    message: &[u8],
    id: u16,
    range: Range<usize>,
    edit: impl FnOnce(&mut Ipv4Packet<&mut [u8]>),
) -> Vec<u8> {
    let mut frame = testkit::frames::ipv4(PEER_IP, STACK_IP, IpProtocol::Icmp, &message[range.clone()]);
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]);
    packet.set_ident(id);
    packet.set_frag_offset(range.start as u16);
    packet.set_more_frags(range.end != message.len());
    packet.set_dont_frag(false);
    edit(&mut packet);
    packet.fill_checksum();
    frame
}

fn fragments(message: &[u8], id: u16) -> Vec<Vec<u8>> {
    let starts = (0..message.len()).step_by(FULL);
    starts.map(|at| fragment(message, id, at..message.len().min(at + FULL), |_| ())).collect()
}

/// The ICMP packets, with their IPv4 headers, that the stack sends when these frames arrive.
fn answers(b: &mut Bench<TestLink>, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    b.wire.borrow_mut().seen = Some(Vec::new());
    b.wire.borrow_mut().to_stack.extend(frames);
    while !b.wire.borrow().to_stack.is_empty() {
        b.stack.poll(&b.clock).unwrap();
    }
    let seen = b.wire.borrow_mut().seen.take().unwrap_or_default();
    seen.into_iter().filter(|frame| frame[12..14] == [8, 0] && frame[ETHERNET + 9] == 1).collect()
}

/// The message in these fragments, which follow one another, each as long as may be.
fn joined(frames: &[Vec<u8>], mtu: usize, id: u16) -> Vec<u8> {
    let mut whole = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame[..12], [2, 0, 0, 0, 0, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let packet = Ipv4Packet::new_checked(&frame[ETHERNET..]).unwrap();
        assert!(packet.verify_checksum() && frame.len() <= ETHERNET + mtu && !packet.dont_frag());
        assert_eq!((packet.src_addr(), packet.dst_addr(), packet.ident()), (STACK_IP, PEER_IP, id));
        assert_eq!(usize::from(packet.frag_offset()), whole.len());
        let last = number + 1 == frames.len();
        assert_eq!(packet.more_frags(), !last);
        assert!(last || frame.len() + 8 > ETHERNET + mtu, "{} bytes", frame.len());
        whole.extend_from_slice(packet.payload());
    }
    whole
}

fn is_answer(message: &[u8], data: &[u8]) {
    let packet = Icmpv4Packet::new_checked(message).unwrap();
    assert!(packet.verify_checksum());
    let reply = Icmpv4Repr::parse(&packet, &Default::default()).unwrap();
    assert_eq!(reply, Icmpv4Repr::EchoReply { ident: 9, seq_no: 1, data });
}

#[test]
fn pings_in_fragments_are_answered_whole_whatever_their_order() {
    for mtu in [576, 1500, 9000] {
        let mut b = configured_with_mtu(mtu);
        for (id, size) in (100..).zip([1473, 1474, 2952, 2953, 4000, LONGEST - 1, LONGEST]) {
            let data = noise(u64::from(id), size);
            let frames = fragments(&message(&data), id);
            let mut turned = frames.clone();
            turned.rotate_left(1);
            for order in [frames.clone(), frames.iter().rev().cloned().collect(), turned] {
                is_answer(&joined(&answers(&mut b, order), mtu.into(), id), &data);
            }
        }
        assert_eq!(b.stack.counters().frames.fragmented_pings, 21);
    }
}

#[test]
fn a_ping_of_more_than_8_kib_is_dropped() {
    case!("NET-19", Drop, H);
    let mut b = configured();
    for size in [LONGEST + 1, 9000, 65_000] {
        assert!(answers(&mut b, fragments(&message(&noise(1, size)), 1)).is_empty(), "{size}");
    }
    assert_eq!(b.stack.counters().frames.fragmented_pings, 0);
}

#[test]
fn fragments_that_overlap_or_contradict_each_other_are_dropped_with_their_message() {
    case!("NET-19", Drop, H);
    // The missing bytes are zeros, so that the checksum would be right.
    let mut data = noise(3, 4000);
    data[FULL - 8..2 * FULL - 8].fill(0);
    let mut short = noise(4, 56);
    short[8..24].fill(0);
    let (short, message) = (message(&short), message(&data));
    let good = fragments(&message, 7);
    let end = message.len();
    let part = |range| fragment(&message, 7, range, |_| ());
    let of_short = |range| fragment(&short, 7, range, |_| ());
    let last_at = |range| fragment(&short, 7, range, |packet| packet.set_more_frags(false));
    let middle = FULL..2 * FULL;
    let wrong: [(&str, Vec<Vec<u8>>); 8] = [
        ("twice", [part(0..FULL), part(0..FULL), part(2 * FULL..end)].into()),
        ("twice and whole", [part(0..FULL), part(0..FULL), part(middle.clone()), part(2 * FULL..end)].into()),
        (
            "from within the one before",
            [part(0..FULL), part(FULL - 8..2 * FULL - 8), part(2 * FULL..end)].into(),
        ),
        ("into the one behind", [part(middle.clone()), part(0..FULL + 8), part(2 * FULL..end)].into()),
        ("inside", [part(0..2 * FULL), part(64..128), part(2 * FULL..end)].into()),
        ("around", [part(64..128), part(0..2 * FULL), part(2 * FULL..end)].into()),
        ("two ends", [last_at(32..48), of_short(48..64), of_short(0..16), of_short(16..32)].into()),
        (
            "an end before what came",
            [of_short(0..16), part(middle.start..middle.start + 16), of_short(32..64)].into(),
        ),
    ];
    for (what, frames) in wrong {
        let mut b = configured();
        assert!(answers(&mut b, frames).is_empty(), "{what}");
        let next = fragments(&message, 8);
        assert_eq!(joined(&answers(&mut b, next), 1500, 8).len(), end, "{what}");
        // The same id again, once the rest of the dropped message has expired.
        b.clock.advance_us(6_000_000);
        assert_eq!(joined(&answers(&mut b, good.clone()), 1500, 7).len(), end, "{what}");
    }
}

#[test]
fn fragments_that_are_no_ping_for_this_station_are_dropped() {
    case!("NET-19", Drop, H);
    let data = noise(4, 2000);
    let asked = message(&data);
    let mut reply = asked.clone();
    reply[0] = 0;
    let mut code = asked.clone();
    code[1] = 1;
    let mut sum = asked.clone();
    sum[500] ^= 1;
    type Edit = fn(&mut Vec<u8>);
    let headers: [(&str, Edit); 10] = [
        ("another station's", |frame| frame[5] ^= 1),
        ("everyone's", |frame| frame[..6].fill(0xff)),
        ("from everyone", |frame| frame[6..12].fill(0xff)),
        ("another address", |frame| frame[ETHERNET + 19] ^= 1),
        ("everyone's address", |frame| frame[ETHERNET + 16..ETHERNET + 20].fill(0xff)),
        ("from the network", |frame| frame[ETHERNET + 15] = 0xff),
        ("UDP", |frame| frame[ETHERNET + 9] = 17),
        ("TCP", |frame| frame[ETHERNET + 9] = 6),
        ("shorter than it says", |frame| frame.truncate(frame.len() - 1)),
        ("version 6", |frame| frame[ETHERNET] = 0x65),
    ];
    let mut b = configured();
    for (what, edit) in headers {
        let mut frames = fragments(&asked, 1);
        for frame in &mut frames {
            edit(frame);
            if frame[ETHERNET] == 0x45 {
                Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]).fill_checksum();
            }
        }
        assert!(answers(&mut b, frames).is_empty(), "{what}");
    }
    for (what, message) in [("an answer", &reply), ("a code", &code), ("a wrong checksum", &sum)] {
        assert!(answers(&mut b, fragments(message, 1)).is_empty(), "{what}");
    }
    assert_eq!(b.stack.counters().frames.bad_checksum, 1);
    let uneven = [fragment(&asked, 2, 0..999, |_| ()), fragment(&asked, 2, 999..2008, |_| ())];
    assert!(answers(&mut b, uneven).is_empty());
    let nothing =
        [fragment(&asked, 3, 0..0, |_| ()), fragment(&asked, 3, 0..2008, |p| p.set_more_frags(true))];
    assert!(answers(&mut b, nothing).is_empty());
    let mut broken = fragments(&asked, 4);
    broken[0][ETHERNET + 10] ^= 1;
    assert!(answers(&mut b, broken).is_empty());
    assert_eq!(b.stack.counters().frames.fragmented_pings, 0);
    b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
}

#[test]
fn a_message_waits_for_its_fragments_for_five_seconds() {
    case!("NET-19", Clamp, H);
    let data = noise(5, 2000);
    for (wait, answered) in [(4_900_000, true), (5_100_000, false)] {
        let mut b = configured();
        let mut frames = fragments(&message(&data), 1);
        let last = frames.pop();
        assert!(answers(&mut b, frames).is_empty());
        b.clock.advance_us(wait);
        assert_eq!(!answers(&mut b, last).is_empty(), answered, "{wait} us");
    }
}

#[test]
fn pings_are_answered_during_a_flood_of_first_fragments() {
    case!("NET-19", Work, H);
    let mut b = configured();
    let data = noise(6, LONGEST);
    for id in 0..3000 {
        let other = message(&noise(7, LONGEST));
        let first = fragment(&other, id, 0..FULL, |packet| packet.set_src_addr(NOBODY));
        assert!(answers(&mut b, [first]).is_empty());
        if id % 100 == 0 {
            let frames = fragments(&message(&data), id);
            is_answer(&joined(&answers(&mut b, frames), 1500, id), &data);
        }
    }
    assert_eq!(b.stack.counters().frames.fragmented_pings, 30);
}

/// A frame from another station and address than the peer's.
fn from(mut frame: Vec<u8>, station: u8, address: Ipv4Addr) -> Vec<u8> {
    frame[11] = station;
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]);
    packet.set_src_addr(address);
    packet.fill_checksum();
    frame
}

/// A ping of two fragments, of which these frames come between the first and the second.
fn ping_around(between: Vec<Vec<u8>>) -> u64 {
    let mut b = configured();
    let data = noise(9, 2000);
    let mut frames = fragments(&message(&data), 7);
    let last = frames.pop();
    answers(&mut b, frames.into_iter().chain(between).chain(last));
    b.stack.counters().frames.fragmented_pings
}

#[test]
fn first_fragments_of_another_sender_do_not_displace_a_ping() {
    case!("NET-19", Work, H);
    let first = |id: u16| fragment(&message(&noise(7, LONGEST)), id, 0..FULL, |_| ());
    let local = |host| Ipv4Addr::new(10, 0, 2, host);
    // Behind the same router as the peer, as another station, and as a router that has many hosts behind it.
    assert_eq!(ping_around((0..3000).map(|id| from(first(id), 2, NOBODY)).collect()), 1);
    assert_eq!(ping_around((0..3000).map(|id| from(first(id), 9, local(9))).collect()), 1);
    let many = |id: u16| Ipv4Addr::new(198, 51, 100, 1 + (id % 200) as u8);
    assert_eq!(ping_around((0..3000).map(|id| from(first(id), 9, many(id))).collect()), 1);
    // Three senders with a message each leave room for the ping, and four do not.
    assert_eq!(ping_around((0..3).map(|id| from(first(id), 9 + id as u8, local(9 + id as u8))).collect()), 1);
    assert_eq!(ping_around((0..4).map(|id| from(first(id), 9 + id as u8, local(9 + id as u8))).collect()), 0);
    // The ping's own sender displaces it, as before.
    assert_eq!(ping_around((0..4).map(first).collect()), 0);
}

#[test]
fn four_pings_at_a_time_are_answered_and_the_fifth_displaces_the_oldest() {
    case!("NET-19", Clamp, H);
    for (at_a_time, answered) in [(4, 4), (5, 0)] {
        let mut b = configured();
        let pings: Vec<_> = (0..at_a_time).map(|id| fragments(&message(&noise(8, 2000)), id)).collect();
        // All first fragments, then all second ones: of five, each second one finds its first one gone.
        let frames = (0..2).flat_map(|part| pings.iter().map(move |ping| ping[part].clone()));
        answers(&mut b, frames);
        assert_eq!(b.stack.counters().frames.fragmented_pings, answered);
    }
}

#[test]
fn an_answer_that_the_link_has_no_room_for_is_counted() {
    let mut b = configured();
    b.stack.link().room = 3;
    let data = noise(9, LONGEST);
    assert_eq!(answers(&mut b, fragments(&message(&data), 1)).len(), 3);
    let frames = b.stack.counters().frames;
    assert_eq!((frames.fragmented_pings, frames.unsent), (0, 1));
    b.stack.link().room = 16;
    is_answer(&joined(&answers(&mut b, fragments(&message(&data), 2)), 1500, 2), &data);
}

proptest! {
    /// A message is answered if its pieces are all there, each once, whatever their sizes and order.
    #[test]
    fn a_message_is_answered_when_its_pieces_are_a_partition_of_it(
        size in 9_usize..3000,
        cuts in proptest::collection::vec(1_usize..300, 1..8),
        order in any::<u64>(),
        harm in 0_u8..4,
    ) {
        let data = noise(order, size);
        let message = message(&data);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut * 8).filter(|&end| end < message.len()).collect();
        ends.extend([0, message.len()]);
        ends.sort_unstable();
        ends.dedup();
        let mut pieces: Vec<Range<usize>> = ends.windows(2).map(|pair| pair[0]..pair[1]).collect();
        prop_assume!(pieces.len() > 1);
        let by = order as usize % pieces.len();
        pieces.rotate_left(by);
        // One that is not the last of them: what comes after the last begins a message of its own.
        let chosen = by % (pieces.len() - 1);
        match harm {
            0 => drop(pieces.remove(chosen)),
            1 => pieces.insert(chosen + 1, pieces[chosen].clone()),
            _ => {}
        }
        let mut b = configured();
        let frames: Vec<_> = pieces.iter().map(|piece| fragment(&message, 5, piece.clone(), |_| ())).collect();
        let sent = answers(&mut b, frames);
        if harm > 1 {
            is_answer(&joined(&sent, 1500, 5), &data);
        } else {
            prop_assert!(sent.is_empty());
        }
    }
}
