//! Numbers that a peer must not be able to predict.

use super::row::{H, HQ, tried};
use crate::Case;
use crate::Response::{Ignore, Quarantine, Refuse, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "RND-01",
        &[Work],
        "the host chooses part of a generator's seed, or of the bytes that are mixed in later",
        "the rest still counts in full: numbers are HMAC-SHA-256 of all of it",
    ),
    tried(
        H,
        "RND-02",
        &[Ignore],
        "a peer records a thousand pings, sequence numbers and DHCP ids, and knows every algorithm",
        "it predicts none of the next: sequence numbers follow RFC 6528, ids come from a keyed generator, payloads are constant",
    ),
    tried(
        H,
        "RND-03",
        &[Work],
        "a peer opens one connection again and again",
        "its sequence numbers increase with time (RFC 6528), and reveal nothing about other connections",
    ),
    tried(
        H,
        "RND-04",
        &[Work],
        "a machine whose `darn` instruction returns no random numbers",
        "the guest works; `entropy=weak` and a warning say so",
    ),
    tried(
        H,
        "RND-05",
        &[Work],
        "a report, a log line or a debug print of a generator",
        "it shows nothing of the generator's state",
    ),
    tried(
        H,
        "RND-06",
        &[Work, Refuse, Quarantine],
        "a virtio-rng answers with too few, no or too many bytes, or not at all",
        "the guest mixes in the bytes that came; otherwise it names the device and leaves it out; without a confirmed reset the device's buffer is not used again",
    ),
    tried(
        HQ,
        "RND-07",
        &[Work],
        "the host chooses every byte of a virtio-rng",
        "what the generator had before still counts in full; a secure guest without another source says `weak`",
    ),
];
