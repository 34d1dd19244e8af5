//! Used ring, descriptors, notifications.

use super::row::{H, HF, HQ, limit, tried};
use crate::Case;
use crate::Response::{Break, Drop, Ignore, Quarantine, Work};

pub(super) const CASES: &[Case] = &[
    tried(HF, "RNG-01", &[Break], "used id beyond the queue", "named with id and size"),
    tried(HF, "RNG-02", &[Break], "used id with bits above the lower 16", "all 32 bits are compared"),
    tried(
        HF,
        "RNG-03",
        &[Break],
        "used id that was never posted, or not published yet",
        "the private record decides",
    ),
    tried(HF, "RNG-04", &[Break], "used id in the middle of a chain", "only heads complete"),
    tried(
        HF,
        "RNG-05",
        &[Break],
        "the same id twice, in one batch or later",
        "the record is cleared by the first",
    ),
    tried(
        HF,
        "RNG-07",
        &[Break],
        "used length beyond what the device may write",
        "compared with the own record; readable bytes do not count",
    ),
    tried(
        HF,
        "RNG-08",
        &[Break, Drop],
        "used length below the least that makes sense",
        "a read of a disk: broken; a frame: dropped",
    ),
    tried(
        H,
        "RNG-09",
        &[Ignore],
        "any used length of a request that writes",
        "not looked at within the bound of RNG-07",
    ),
    tried(
        HF,
        "RNG-11",
        &[Break],
        "the used index goes back, or further than what is posted",
        "distance modulo 2^16 against the own count",
    ),
    tried(
        H,
        "RNG-12",
        &[Ignore],
        "a used entry changes between the reads of its words",
        "each word is read once",
    ),
    tried(
        HF,
        "RNG-13",
        &[Ignore],
        "descriptors or the available ring are rewritten",
        "never read back: a private shadow decides",
    ),
    tried(
        H,
        "RNG-15",
        &[Work],
        "notification flags toggle, or the index to be notified of changes, without cause",
        "at most a notification too many or too few; the driver looks again",
    ),
    tried(H, "RNG-16", &[Ignore], "an indirect table is rewritten", "INDIRECT_DESC is never accepted"),
    tried(H, "RNG-17", &[Work], "completions out of order", "each request gets its own answer"),
    tried(
        HQ,
        "RNG-19",
        &[Break, Quarantine],
        "a request never completes",
        "broken when its time is up; memory waits for a confirmed reset",
    ),
    tried(
        HQ,
        "RNG-20",
        &[Ignore, Quarantine],
        "a request completes after it was given up",
        "reaches nobody; its memory has not been used again",
    ),
    tried(
        H,
        "RNG-23",
        &[Break],
        "an old id is used again after other chains were posted",
        "descriptors are used again oldest first: an old head is free until all others were used. In a queue so full \
         that the same head is the next, nothing tells the old id from the new one",
    ),
    tried(
        H,
        "RNG-24",
        &[Ignore],
        "any used length of a chain that the device only reads",
        "a frame that is sent: the length says nothing",
    ),
    limit(
        "RNG-22",
        "the device writes beyond its buffer, inside the pool",
        "another request's payload may change; ring and pool records cannot. See the threat model",
    ),
];
