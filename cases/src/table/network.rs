//! Network devices.

use super::row::{F, H, HF, HFQ, HQ, tried};
use crate::Case;
use crate::Response::{Break, Clamp, Drop, Fail, Fallback, Ignore, Work};

pub(super) const CASES: &[Case] = &[
    tried(HF, "NET-01", &[Drop], "used length below the header's", "counted"),
    tried(HF, "NET-02", &[Drop], "a header and no frame, or less than an Ethernet header", "counted"),
    tried(HF, "NET-03", &[Break], "used length beyond the buffer", "broken"),
    tried(
        HF,
        "NET-05",
        &[Ignore],
        "num_buffers 0 or 65535",
        "MRG_RXBUF is never accepted; one buffer is one frame",
    ),
    tried(
        HF,
        "NET-06",
        &[Ignore],
        "NEEDS_CSUM with offsets beyond the frame",
        "GUEST_CSUM is never accepted; the header is not read",
    ),
    tried(
        HF,
        "NET-07",
        &[Ignore],
        "gso_type, gso_size, hdr_len of any value",
        "no offload is accepted; the header is not read",
    ),
    tried(
        HQ,
        "NET-08",
        &[Fallback],
        "an address of zeros or of a group; one that changes",
        "a local one is made; read once",
    ),
    tried(
        H,
        "NET-10",
        &[Ignore, Work],
        "link state flaps, configuration interrupts storm",
        "state is read once a poll; changes are counted",
    ),
    tried(
        HQ,
        "NET-12",
        &[Break],
        "a transmission never completes",
        "broken when its time is up; buffers wait for a confirmed reset",
    ),
    tried(
        HQ,
        "NET-13",
        &[Drop, Work],
        "a flood of the longest frames",
        "bounded work a call; what has no buffer is the device's to drop",
    ),
    tried(H, "NET-14", &[Ignore], "a frame is rewritten after completion", "the stack sees a private copy"),
    tried(
        F,
        "NET-15",
        &[Drop, Work],
        "any bytes as ARP, IPv4, ICMP, UDP, TCP, DHCP",
        "dropped or answered; the stack goes on",
    ),
    tried(
        H,
        "NET-16",
        &[Clamp],
        "a DHCP server that refuses every request or renewal, or gives leases of no time",
        "the pace is the guest's: each refusal is followed by a silence that doubles up to 64 s; the reason is named",
    ),
    tried(
        H,
        "NET-17",
        &[Work],
        "a DHCP server that takes seconds to answer",
        "waited for: one question keeps its id and is repeated ever more slowly",
    ),
    tried(
        H,
        "NET-18",
        &[Work, Clamp],
        "connections that are asked for and never completed, dozens and ever more",
        "each holds a socket for five seconds at most; the oldest makes room for whoever asks next; what is served stays",
    ),
    tried(
        HQ,
        "NET-19",
        &[Drop, Clamp, Work],
        "fragments that overlap, contradict each other, belong to no ping or never become whole, in floods",
        "such a message is dropped whole; four of 8 KiB wait for 5 s at most, and the oldest makes room",
    ),
    tried(
        HFQ,
        "NET-30",
        &[Work, Fail],
        "any bytes where a request for the status page is due, in any pieces, too many of them",
        "the answer depends on the bytes alone; what is no request for a page gets a status of the 400s, and the connection ends",
    ),
    tried(
        HQ,
        "NET-31",
        &[Work, Fail, Clamp],
        "peers that ask slowly, read slowly or do neither, in every place",
        "5 s for a request, 10 s for its answer; after 1 s a slow request makes room for whoever asks next",
    ),
];
