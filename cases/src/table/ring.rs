//! Used ring, descriptors, notifications.

use super::row::{H, HF, HQ, limit, tried};
use crate::Case;
use crate::Response::{Break, Drop, Ignore, Quarantine, Work};

pub(super) const CASES: &[Case] = &[
    tried(HF, "RNG-01", &[Break], "the used id is beyond the queue", "the error contains id and queue size"),
    tried(
        HF,
        "RNG-02",
        &[Break],
        "the used id has bits above the lower 16",
        "the driver compares all 32 bits",
    ),
    tried(
        HF,
        "RNG-03",
        &[Break],
        "the used id was never posted, or is not published yet",
        "the driver's private record decides",
    ),
    tried(
        HF,
        "RNG-04",
        &[Break],
        "the used id is in the middle of a chain",
        "only the head of a chain completes it",
    ),
    tried(
        HF,
        "RNG-05",
        &[Break],
        "the same id twice, in one batch or later",
        "the first one clears the record",
    ),
    tried(
        HF,
        "RNG-07",
        &[Break],
        "the used length is more than the device may write",
        "the driver compares it with its own record; the readable bytes of the chain do not count",
    ),
    tried(
        HF,
        "RNG-08",
        &[Break, Drop],
        "the used length is less than a valid answer has",
        "a read of a disk: the device is latched broken; a received frame: it is dropped",
    ),
    tried(
        H,
        "RNG-09",
        &[Ignore],
        "any used length of a request that writes to a disk",
        "the driver ignores it within the limit of RNG-07",
    ),
    tried(
        HF,
        "RNG-11",
        &[Break],
        "the used index goes back, or ahead of the posted requests",
        "the driver compares the distance, modulo 2^16, with its own count",
    ),
    tried(
        H,
        "RNG-12",
        &[Ignore],
        "a used entry changes between the reads of its words",
        "the driver reads each word once",
    ),
    tried(
        HF,
        "RNG-13",
        &[Ignore],
        "the device overwrites descriptors or the available ring",
        "the driver never reads them back; its private copy decides",
    ),
    tried(
        H,
        "RNG-15",
        &[Work],
        "the notification flags or the event index change without cause",
        "at most one notification too many or too few; the driver also polls",
    ),
    tried(
        H,
        "RNG-16",
        &[Ignore],
        "an indirect table is overwritten",
        "the driver never accepts INDIRECT_DESC",
    ),
    tried(H, "RNG-17", &[Work], "completions out of order", "each request gets its own answer"),
    tried(
        HQ,
        "RNG-19",
        &[Break, Quarantine],
        "a request never completes",
        "the device is latched broken when the request times out; the memory waits for a confirmed reset",
    ),
    tried(
        HQ,
        "RNG-20",
        &[Ignore, Quarantine],
        "a request completes after its time-out",
        "no caller gets the completion; the request's memory has not been used again",
    ),
    tried(
        H,
        "RNG-23",
        &[Break],
        "the device returns an old id after other chains were posted",
        "the driver reuses the descriptor that has been free the longest, so an old head stays free until all others were used. In a queue so full that the next chain has the same head, the driver cannot tell the old id from the new one",
    ),
    tried(
        H,
        "RNG-24",
        &[Ignore],
        "any used length of a chain that the device only reads",
        "for a frame that was sent, the driver ignores the length",
    ),
    limit(
        "RNG-22",
        "the device writes beyond its buffer, inside the pool",
        "another request's payload may change; the driver's records of the ring and the pool cannot. See the threat model",
    ),
];
