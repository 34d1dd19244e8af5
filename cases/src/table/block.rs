//! Block devices.

use super::row::{H, HF, HQ, tried};
use crate::Case;
use crate::Response::{Clamp, Fail, Ignore, Refuse, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HF,
        "BLK-01",
        &[Fail],
        "the device returns a status byte from 3 to 255",
        "the request fails with an error that contains the number; the caller gets no data",
    ),
    tried(
        H,
        "BLK-03",
        &[Ignore],
        "the status byte changes after the driver read it",
        "the driver reads it once",
    ),
    tried(
        HF,
        "BLK-05",
        &[Refuse, Fail],
        "the capacity is 0 or 1 sector, or so large that its bytes do not fit into 64 bits",
        "a step on an empty disk fails with a named error; the driver refuses a disk whose bytes overflow, and checks every request against its private copy of the capacity",
    ),
    tried(
        HQ,
        "BLK-06",
        &[Fail, Work],
        "the capacity changes at run time",
        "the driver reads it again after a configuration change; later requests beyond the new end fail; a larger disk changes nothing else",
    ),
    tried(
        H,
        "BLK-08",
        &[Refuse, Clamp],
        "size_max or seg_max is 0 or 1",
        "size_max below one sector: the device is refused; seg_max 0: the driver uses 1",
    ),
    tried(
        H,
        "BLK-09",
        &[Fail],
        "a disk that is not read-only rejects writes",
        "the caller gets the error; the driver does not repeat the write",
    ),
    tried(
        H,
        "BLK-10",
        &[Ignore],
        "the device reports success and has written nothing",
        "the slot was cleared before the request: the caller gets zeros and no data of another request",
    ),
    tried(H, "BLK-11", &[Ignore], "the data changes after completion", "the caller has a private copy"),
    tried(
        HF,
        "BLK-12",
        &[Clamp],
        "the disk's name has no NUL, or is not text",
        "at most 20 bytes are used, and they are shown escaped",
    ),
    tried(
        H,
        "BLK-14",
        &[Refuse],
        "a logical block has 2 GiB, or more bytes than one request can carry",
        "the device is refused with a named error before its queue is set up",
    ),
    tried(
        HQ,
        "BLK-15",
        &[Fail],
        "the capacity is not a multiple of the logical block",
        "a step that needs the whole disk fails with a named error and the number of bytes that it cannot reach",
    ),
    tried(
        HQ,
        "BLK-16",
        &[Work],
        "the capacity changes while the guest does not use the disk, with or without a configuration interrupt",
        "the guest reads the capacity again when a step begins",
    ),
    tried(
        HQ,
        "BLK-17",
        &[Ignore, Clamp],
        "a disk offers discard and write zeroes with limits of 0, or with the largest possible limits",
        "limits of 0: the driver logs the reason and sends no such requests, and the disk works; largest limits: the driver's own limits apply",
    ),
    tried(
        H,
        "BLK-18",
        &[Ignore],
        "the discard alignment is 0, 3, or larger than a request",
        "the alignment is a hint: the driver follows it only if it is a whole number of blocks and fits into a request",
    ),
    tried(
        HQ,
        "BLK-19",
        &[Fail],
        "the device confirms write zeroes and writes no zeros",
        "the driver cannot notice this, as with any write; `blk-discard` reads the range back and ends with status 7",
    ),
    tried(
        HQ,
        "BLK-20",
        &[Fail],
        "a disk offers discard, and answers it as unsupported or failed",
        "the caller gets the error; the driver does not repeat the request, and the disk stays in use",
    ),
    tried(
        HQ,
        "BLK-21",
        &[Ignore],
        "the topology has impossible block sizes, or the write-cache byte is neither 0 nor 1",
        "these fields are hints: the driver ignores invalid values and assumes a write cache; it sends flushes in any case",
    ),
    tried(
        H,
        "BLK-13",
        &[Fail],
        "the guest's own code asks for sectors beyond the end of the disk",
        "the request fails before a slot is taken",
    ),
];
