//! Block devices.

use super::row::{H, HF, HQ, tried};
use crate::Case;
use crate::Response::{Clamp, Fail, Ignore, Refuse, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HF,
        "BLK-01",
        &[Fail],
        "a status byte from 3 to 255",
        "an error with the number; nothing of the data is seen",
    ),
    tried(H, "BLK-03", &[Ignore], "the status byte changes after it was read", "read once"),
    tried(
        HF,
        "BLK-05",
        &[Refuse, Fail],
        "capacity 0, 1, or more sectors than bytes can be counted",
        "work on an empty disk fails by name; a capacity whose bytes wrap is refused; every request is checked against the private copy",
    ),
    tried(
        HQ,
        "BLK-06",
        &[Fail, Work],
        "the capacity changes at run time",
        "read again on a configuration change; later requests beyond it fail, more of it disturbs nothing",
    ),
    tried(
        H,
        "BLK-08",
        &[Refuse, Clamp],
        "size_max or seg_max 0 or 1",
        "size_max below a sector: refused; seg_max: at least one",
    ),
    tried(H, "BLK-09", &[Fail], "a writable disk rejects writes", "the error is passed on, once"),
    tried(
        H,
        "BLK-10",
        &[Ignore],
        "success without having written anything",
        "the slot was cleared: zeros, and nobody else's data",
    ),
    tried(H, "BLK-11", &[Ignore], "data changes after completion", "the caller has a private copy"),
    tried(
        HF,
        "BLK-12",
        &[Clamp],
        "a name without NUL, or that is no text",
        "20 bytes at most, shown escaped",
    ),
    tried(
        H,
        "BLK-14",
        &[Refuse],
        "a logical block of 2 GiB, or of more than one request carries",
        "refused by name before the queue is set up",
    ),
    tried(
        HQ,
        "BLK-15",
        &[Fail],
        "a capacity that is no multiple of the logical block",
        "work on the whole disk fails by name, with the count of bytes that cannot be reached",
    ),
    tried(
        HQ,
        "BLK-16",
        &[Work],
        "the capacity changes while nobody works, with or without a word about it",
        "read again when work begins",
    ),
    tried(
        HQ,
        "BLK-17",
        &[Ignore, Clamp],
        "a disk offers discard and write zeroes with limits of nothing, or of everything",
        "nothing: such requests are not made, by name, and the disk works; everything: the own limits",
    ),
    tried(
        H,
        "BLK-18",
        &[Ignore],
        "a discard alignment of 0, 3, or more than a request may have",
        "a hint: followed if it is whole blocks and fits a request",
    ),
    tried(
        HQ,
        "BLK-19",
        &[Fail],
        "write zeroes is answered without a zero being written",
        "as with any write, only what is read back tells: `blk-discard` ends with status 7",
    ),
    tried(
        HQ,
        "BLK-20",
        &[Fail],
        "discard is offered and answered as unsupported, or as failed",
        "the error is passed on, once; the disk stays",
    ),
    tried(
        HQ,
        "BLK-21",
        &[Ignore],
        "a topology of impossible blocks, or a write cache that is neither on nor off",
        "hints: passed over; a cache is assumed, and flushes are sent in any case",
    ),
    tried(H, "BLK-13", &[Fail], "a request of the caller beyond the disk", "refused before a slot is taken"),
];
