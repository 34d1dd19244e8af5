//! The DHCP client's timing and transaction ids, as seen on the wire.

use netstack::settings::{Addressing, SettingsError};
use netstack::stack::StackError;
use papr::clock::Clock;
use postern_cases::case;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetFrame, IpProtocol, Ipv4Packet, UdpPacket,
};
use std::vec::Vec;
use testkit::network::{Bench, SECOND, bench};
use testkit::peer::Offer;
use testkit::wire::TestLink;

/// Type and id of a message to a server.
fn message(frame: &[u8]) -> Option<(DhcpMessageType, u32)> {
    let packet = Ipv4Packet::new_checked(EthernetFrame::new_checked(frame).ok()?.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let for_server = packet.next_header() == IpProtocol::Udp && datagram.dst_port() == 67;
    let message = DhcpPacket::new_checked(datagram.payload()).ok().filter(|_| for_server)?;
    let message = DhcpRepr::parse(&message).ok()?;
    Some((message.message_type, message.transaction_id))
}

fn watched(offer: Option<Offer>) -> Bench<TestLink> {
    let b = bench(Addressing::Dhcp);
    b.peer.borrow_mut().offer = offer;
    b.wire.borrow_mut().seen = Some(Vec::new());
    b
}

fn seen(b: &Bench<TestLink>) -> Vec<(DhcpMessageType, u32)> {
    b.wire.borrow().seen.iter().flatten().filter_map(|frame| message(frame)).collect()
}

#[test]
fn a_discover_keeps_its_id_and_is_repeated_ever_more_slowly() {
    let mut b = watched(None);
    assert!(b.stack.configure(&b.clock, 100 * SECOND).is_err());
    let seen = seen(&b);
    // After 0, 1, 3, 7, 15, 31, 63 seconds, each a little earlier or later.
    assert_eq!(seen.len(), 7, "{seen:?}");
    assert!(seen.iter().all(|message| *message == (DhcpMessageType::Discover, seen[0].1)), "{seen:?}");
}

#[test]
fn a_server_that_takes_two_seconds_is_waited_for() {
    case!("NET-17", Work);
    let mut b = watched(Some(Offer { slow_s: 2, ..Offer::default() }));
    let before = b.clock.now();
    assert!(b.stack.configure(&b.clock, 15 * SECOND).is_ok());
    let took = (b.clock.now() - before) / b.clock.frequency();
    assert_eq!(took, 4);
    let seen = seen(&b);
    assert!(seen.len() == 4 && seen.iter().all(|(_, id)| *id == seen[0].1), "{seen:?}");
}

#[test]
fn refused_requests_do_not_speed_up_the_client() {
    case!("NET-16", Clamp);
    let mut b = watched(Some(Offer { refuse: true, ..Offer::default() }));
    let error = b.stack.configure(&b.clock, 60 * SECOND).unwrap_err();
    assert!(std::string::ToString::to_string(&error).ends_with(": the server refuses the lease"), "{error}");
    // A discover and a request each time: after 0, 1, 3, 7, 15 and 31 seconds, and perhaps after 63, which may come up to
    // an eighth earlier.
    let seen = seen(&b).len();
    assert!((12..=14).contains(&seen), "{seen}");
}

#[test]
fn refused_renewals_do_not_speed_up_the_client() {
    case!("NET-16", Clamp);
    let mut b = watched(Some(Offer { lease_s: 10, refuse_renewals: true, ..Offer::default() }));
    assert!(b.stack.configure(&b.clock, 5 * SECOND).is_ok());
    b.until_every(10_000, 600, |_| false);
    // Each time a discover, a request and, 5 seconds later, a renewal; then a pause of 1, 2, 4 up to 64 seconds, an eighth
    // more or less: 13 rounds in 600 seconds, one more or less.
    let seen = seen(&b).len();
    assert!((12 * 3..=14 * 3).contains(&seen), "{seen} messages in 600 s");
    assert!(b.stack.counters().leases_refused > 3);
}

#[test]
fn an_offer_without_an_ack_is_requested_four_times_and_dropped() {
    let mut b = watched(Some(Offer { never_confirm: true, ..Offer::default() }));
    assert!(b.stack.configure(&b.clock, 13 * SECOND).is_err());
    let first = seen(&b);
    let kinds: Vec<DhcpMessageType> = first.iter().map(|(kind, _)| *kind).collect();
    let [discover, request] = [DhcpMessageType::Discover, DhcpMessageType::Request];
    assert_eq!(kinds, [discover, request, request, request, request]);
    assert!(first.iter().all(|(_, id)| *id == first[0].1), "{first:?}");
    // After 15 seconds the offer is dropped; a second later there is a new discover.
    assert!(b.stack.configure(&b.clock, 6 * SECOND).is_err());
    let next = seen(&b)[5];
    assert!(next.0 == discover && next.1 != first[0].1, "{next:?}");
}

#[test]
fn an_unanswered_renewal_of_a_ten_minute_lease_is_sent_five_times() {
    let mut b = watched(Some(Offer { lease_s: 600, ..Offer::default() }));
    assert!(b.stack.configure(&b.clock, 5 * SECOND).is_ok());
    b.peer.borrow_mut().offer = None;
    b.wire.borrow_mut().seen = Some(Vec::new());
    b.until_every(100_000, 599, |_| false);
    assert!(b.stack.settings().is_some());
    // After 300, 412, 472 seconds to the server; after 525, which is seven eighths, and 585 by broadcast.
    let seen = seen(&b);
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen.iter().all(|message| *message == (DhcpMessageType::Request, seen[0].1)), "{seen:?}");
    b.until_every(100_000, 2, |_| false);
    assert_eq!(b.stack.settings(), None);
}

#[test]
fn leases_that_cannot_be_kept_are_refused_by_name() {
    let mut b = watched(Some(Offer { lease_s: 0, ..Offer::default() }));
    let error = b.stack.configure(&b.clock, 10 * SECOND).unwrap_err();
    assert!(
        std::string::ToString::to_string(&error).ends_with(": the server gives a lease of 0 s"),
        "{error}"
    );
    assert_eq!(seen(&b).len(), 4);
    let mask = core::net::Ipv4Addr::new(255, 0, 255, 0);
    let mut b = watched(Some(Offer { mask, ..Offer::default() }));
    let error = b.stack.configure(&b.clock, 10 * SECOND).unwrap_err();
    assert!(
        std::string::ToString::to_string(&error).ends_with("the server gives the subnet mask 255.0.255.0"),
        "{error}"
    );
}

#[test]
fn transaction_ids_do_not_predict_the_next_one() {
    case!("RND-02", Ignore);
    let mut b = watched(Some(Offer { lease_s: 10, refuse_renewals: true, ..Offer::default() }));
    assert!(b.stack.configure(&b.clock, 5 * SECOND).is_ok());
    b.until_every(400_000, 45_000, |_| false);
    let mut ids: Vec<u32> = seen(&b).into_iter().map(|(_, id)| id).collect();
    ids.dedup();
    assert!(ids.len() >= 1000, "{}", ids.len());
    let mut predictor = super::secrets::Predictor::default();
    ids.iter().take(1000).for_each(|id| predictor.number(*id));
    assert_eq!((predictor.right, predictor.numbers), (0, 1000));
}

/// A server's message with options in its field `file`.
fn overloaded(options: &[u8], file: &[u8]) -> impl FnMut(&mut Vec<u8>) {
    let (options, file) = (options.to_vec(), file.to_vec());
    move |message| {
        message.truncate(240);
        message[108..108 + file.len()].copy_from_slice(&file);
        message.extend(&options);
    }
}

#[test]
fn options_in_the_field_file_are_read() {
    let lease = [1, 4, 255, 255, 255, 0, 3, 8, 10, 0, 2, 2, 10, 0, 2, 3, 51, 4, 0, 0, 2, 88, 255];
    let own = |kind| [53, 1, kind, 54, 4, 10, 0, 2, 2, 52, 1, 1, 255];
    let mut b = watched(Some(Offer::default()));
    b.peer.borrow_mut().rewrite = Some(std::boxed::Box::new(move |message: &mut Vec<u8>| {
        let kind = message[242];
        overloaded(&own(kind), &lease)(message);
    }));
    let settings = b.stack.configure(&b.clock, 5 * SECOND).unwrap();
    assert_eq!(std::string::ToString::to_string(&settings), "10.0.2.15/24 via 10.0.2.2");
}

#[test]
fn incomplete_answers_are_refused_by_name() {
    let cases: [(&[u8], &str); 5] = [
        (&[54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 2, 88], "the server gives no subnet mask"),
        (&[1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 2, 88], "the server does not name itself"),
        (&[54, 4, 10, 0, 2, 2, 1, 4, 0, 0, 0, 0, 51, 4, 0, 0, 2, 88], "/0 is no prefix of an IPv4 address"),
        (
            &[54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 240, 51, 4, 0, 0, 2, 88],
            "10.0.2.15 cannot be the address of a machine",
        ),
        (&[61, 7, 99, 1, 2, 3, 4, 5, 6], "the server's answer is malformed"),
    ];
    for (options, reason) in cases {
        let mut b = watched(Some(Offer::default()));
        b.peer.borrow_mut().rewrite = Some(std::boxed::Box::new(move |message: &mut Vec<u8>| {
            let kind = message[242];
            message.truncate(240);
            message.extend([53, 1, kind]);
            message.extend(options);
            message.push(255);
        }));
        let error = b.stack.configure(&b.clock, 5 * SECOND).unwrap_err();
        assert!(std::string::ToString::to_string(&error).ends_with(reason), "{error}");
    }
}

#[test]
fn an_unusable_gateway_is_an_error_only_for_callers_that_need_it() {
    let outside = core::net::Ipv4Addr::new(10, 0, 3, 1);
    let mut b = watched(Some(Offer { router: Some(outside), ..Offer::default() }));
    assert_eq!(b.stack.gateway(), Err(StackError::NotConfigured));
    let settings = b.stack.configure(&b.clock, 5 * SECOND).unwrap();
    assert_eq!(settings.gateway, None, "the network itself is used");
    assert_eq!(b.stack.gateway(), Err(StackError::Settings(SettingsError::Gateway(outside))));
    // The server named no gateway, which is no error.
    let mut b = watched(Some(Offer { router: None, ..Offer::default() }));
    assert!(b.stack.configure(&b.clock, 5 * SECOND).is_ok());
    assert_eq!(b.stack.gateway(), Ok(None));
    let mut b = watched(Some(Offer::default()));
    assert!(b.stack.configure(&b.clock, 5 * SECOND).is_ok());
    assert_eq!(b.stack.gateway(), Ok(Some(testkit::peer::PEER_IP)));
}
