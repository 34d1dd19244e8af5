//! Network devices.

use super::row::{F, H, HF, HFQ, HQ, tried};
use crate::Case;
use crate::Response::{Break, Clamp, Drop, Fail, Fallback, Ignore, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HF,
        "NET-01",
        &[Drop],
        "the used length is shorter than the header",
        "the frame is counted as dropped",
    ),
    tried(
        HF,
        "NET-02",
        &[Drop],
        "a header without a frame, or with less than an Ethernet header",
        "the frame is counted as dropped",
    ),
    tried(
        HF,
        "NET-03",
        &[Break],
        "the used length is longer than the buffer",
        "the driver latches the device broken",
    ),
    tried(
        HF,
        "NET-05",
        &[Ignore],
        "num_buffers is 0 or 65535",
        "the driver never accepts MRG_RXBUF: one buffer is one frame",
    ),
    tried(
        HF,
        "NET-06",
        &[Ignore],
        "NEEDS_CSUM with offsets beyond the frame",
        "the driver never accepts GUEST_CSUM, and does not read the header",
    ),
    tried(
        HF,
        "NET-07",
        &[Ignore],
        "any values of gso_type, gso_size and hdr_len",
        "the driver accepts no offload, and does not read the header",
    ),
    tried(
        HQ,
        "NET-08",
        &[Fallback],
        "the card's address is zero or a group address, or it changes",
        "the driver makes up a local address; it reads the card's address once",
    ),
    tried(
        H,
        "NET-10",
        &[Ignore, Work],
        "the link state flaps, and configuration interrupts arrive in a storm",
        "the guest reads the state at most once in 100 ms and counts the changes",
    ),
    tried(
        HQ,
        "NET-12",
        &[Break],
        "a transmission never completes",
        "the device is latched broken when the transmission times out; its buffers wait for a confirmed reset",
    ),
    tried(
        HQ,
        "NET-13",
        &[Drop, Work],
        "a flood of the longest frames",
        "each poll does a limited amount of work; a frame without a posted buffer is dropped by the device",
    ),
    tried(H, "NET-14", &[Ignore], "a frame changes after completion", "the stack has a private copy"),
    tried(
        F,
        "NET-15",
        &[Drop, Work],
        "any bytes as ARP, IPv4, ICMP, UDP, TCP, DHCP",
        "the stack drops or answers them, and continues",
    ),
    tried(
        H,
        "NET-16",
        &[Clamp],
        "a DHCP server refuses every request or renewal, or gives leases that are too short",
        "the guest sets the pace: after each refusal it waits, and each wait is twice as long as the last, up to 64 s; it names the reason",
    ),
    tried(
        H,
        "NET-17",
        &[Work],
        "a DHCP server takes seconds to answer",
        "the guest repeats the request with the same id, at growing intervals, and takes the late answer",
    ),
    tried(
        H,
        "NET-18",
        &[Work, Clamp],
        "dozens of connections that peers open and never complete",
        "each holds a socket for five seconds at most; the oldest makes room for the next peer; complete connections stay",
    ),
    tried(
        HQ,
        "NET-19",
        &[Drop, Clamp, Work],
        "floods of fragments that overlap, contradict each other, belong to no ping or never form a whole message",
        "an invalid message is dropped as a whole; at most four of 8 KiB wait, for 5 s each, and the oldest makes room",
    ),
    tried(
        HFQ,
        "NET-30",
        &[Work, Fail],
        "any bytes as a request for the status page, split in any way, or too many bytes",
        "the answer depends on the bytes alone; if they are no request for a page, the status is a 4xx, and the connection ends",
    ),
    tried(
        HQ,
        "NET-31",
        &[Work, Fail, Clamp],
        "peers that send slowly, read slowly or do neither, on every connection",
        "5 s for a request, 10 s for its answer; after 1 s a slow request makes room for the next peer",
    ),
];
