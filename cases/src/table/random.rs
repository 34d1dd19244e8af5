//! Numbers that a peer must not be able to predict.

use super::row::{H, HQ, tried};
use crate::Case;
use crate::Response::{Ignore, Quarantine, Refuse, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "RND-01",
        &[Work],
        "the host chooses part of what a generator is seeded with, or stirred with later",
        "what it did not choose still counts in full: numbers are HMAC-SHA-256 of all of it",
    ),
    tried(
        H,
        "RND-02",
        &[Ignore],
        "a peer keeps a thousand pings, sequence numbers and DHCP ids and knows every algorithm",
        "it predicts none of the next: sequence numbers are RFC 6528's, ids come from a keyed generator, payloads from nothing",
    ),
    tried(
        H,
        "RND-03",
        &[Work],
        "a peer opens one connection again and again",
        "its sequence numbers go forward with time (RFC 6528), and tell nothing of other connections",
    ),
    tried(
        H,
        "RND-04",
        &[Work],
        "a machine whose `darn` gives nothing",
        "it works; `entropy=weak` and a warning say so",
    ),
    tried(
        H,
        "RND-05",
        &[Work],
        "a report, a log line or a debug print of a generator",
        "shows nothing of its state",
    ),
    tried(
        H,
        "RND-06",
        &[Work, Refuse, Quarantine],
        "a virtio-rng that answers with fewer bytes, with none, with too many, or not at all",
        "what came is mixed in; else the device is named and left out; nothing of ours stays with it",
    ),
    tried(
        HQ,
        "RND-07",
        &[Work],
        "a virtio-rng whose every byte the host chooses",
        "what the generator had before still counts in full; a secure guest that has nothing else says `weak`",
    ),
];
