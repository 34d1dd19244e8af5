//! Ultracalls and the pool.

use super::row::{H, HM, HQ, limit, tried};
use crate::Case;
use crate::Response::{Clamp, Fail, Halt, Ignore, Quarantine, Refuse, Retry, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HM,
        "UV-01",
        &[Quarantine],
        "UV_SHARE_PAGE returns an error",
        "the whole range is quarantined; the guest tries one other range, then ends with status 5",
    ),
    tried(
        HM,
        "UV-02",
        &[Retry],
        "U_RETRY, a few times or for ever",
        "the guest repeats the call for a limited time and a limited number of calls; then as UV-01",
    ),
    tried(
        HM,
        "UV-04",
        &[Halt],
        "U_FUNCTION: there is no ultravisor",
        "the guest tries no other range; status 5",
    ),
    limit(
        "UV-05",
        "the ultravisor reports success, and the page is not shared with the device",
        "the bytes read back as zeros, as after a share; devices fail, and data stays private",
    ),
    tried(
        H,
        "UV-07",
        &[Ignore],
        "UV_UNSHARE_PAGE fails",
        "the pool is shared once and never unshared; MEM-08 is about the memory that the guest does unshare",
    ),
    tried(
        H,
        "UV-08",
        &[Fail],
        "a caller asks to share an unaligned, empty or endless range",
        "a named error before the call",
    ),
    tried(H, "UV-09", &[Refuse, Fail], "the pool is not a whole number of frames", "a named error"),
    tried(
        HQ,
        "UV-10",
        &[Refuse, Halt],
        "the stack or the heap lies inside a frame to be shared",
        "the pool is placed apart from them, and its range is compared with the linker's symbols",
    ),
    tried(
        HQ,
        "UV-11",
        &[Ignore],
        "the host searches the pool for private bytes",
        "free slots are zero; slots in use hold the payload and nothing else",
    ),
    tried(
        H,
        "UV-13",
        &[Fail],
        "requests use up the pool",
        "the error says who wanted how much; later requests work",
    ),
    tried(H, "UV-14", &[Ignore], "the device reads a buffer that it should only write", "it reads zeros"),
    tried(
        H,
        "UV-15",
        &[Clamp],
        "on copying back, the length differs from the driver's own",
        "the driver's own length counts, and never more than the caller's buffer",
    ),
    tried(
        HM,
        "UV-16",
        &[Work, Quarantine],
        "r3 holds the opcode after success and after failure",
        "0 and the opcode are no error; in every frame, a pattern written before must read back as zeros",
    ),
    tried(
        HM,
        "UV-17",
        &[Halt],
        "U_PERMISSION: the guest is not secure",
        "the guest tries no other range; status 5",
    ),
    tried(
        H,
        "UV-18",
        &[Work],
        "a frame number counted in 4 KiB pages would share 16 times the address",
        "frame numbers have a type of their own, made by a shift of 16",
    ),
    tried(
        HQ,
        "UV-19",
        &[Refuse, Halt],
        "a frame to be shared contains other data",
        "the pool is whole frames, apart from image, tree and heap; sharing clears it",
    ),
    tried(
        HM,
        "UV-20",
        &[Halt],
        "UV_ESM is refused, or succeeds and changes nothing",
        "status 4; a guest that was asked to be secure never runs as an ordinary one",
    ),
];
