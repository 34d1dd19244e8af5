//! Ultracalls and the pool.

use super::row::{H, HM, HQ, limit, tried};
use crate::Case;
use crate::Response::{Clamp, Fail, Halt, Ignore, Quarantine, Refuse, Retry, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HM,
        "UV-01",
        &[Quarantine],
        "UV_SHARE_PAGE ends with an error",
        "the whole range is in doubt; one other range is tried, then status 5",
    ),
    tried(
        HM,
        "UV-02",
        &[Retry],
        "U_RETRY, some times or for ever",
        "bounded by time and count; then as UV-01",
    ),
    tried(HM, "UV-04", &[Halt], "U_FUNCTION: there is no ultravisor", "no other range is tried; status 5"),
    limit(
        "UV-05",
        "success, and the page is not shared with the device",
        "the bytes read back as zeros, as they should; devices fail, data stays private",
    ),
    tried(
        H,
        "UV-07",
        &[Ignore],
        "UV_UNSHARE_PAGE fails",
        "the pool is shared once and for all: nothing is ever unshared",
    ),
    tried(
        H,
        "UV-08",
        &[Fail],
        "a caller wants to share an unaligned, empty or endless range",
        "a named error before the call",
    ),
    tried(H, "UV-09", &[Refuse, Fail], "a pool that is no whole number of frames", "refused by name"),
    tried(
        HQ,
        "UV-10",
        &[Refuse, Halt],
        "stack or heap inside a frame to be shared",
        "placed apart, and compared with the linker's symbols",
    ),
    tried(
        HQ,
        "UV-11",
        &[Ignore],
        "the host looks for private bytes in the pool",
        "free slots are zero; lent ones hold payload and nothing beside it",
    ),
    tried(
        H,
        "UV-13",
        &[Fail],
        "requests use the pool up",
        "an error that says who wanted how much; later requests work",
    ),
    tried(H, "UV-14", &[Ignore], "the device reads what it should only write", "zeros"),
    tried(
        H,
        "UV-15",
        &[Clamp],
        "a length on copying back that is not the own",
        "the own length, and never more than the caller's buffer",
    ),
    tried(
        HM,
        "UV-16",
        &[Work, Quarantine],
        "r3 holds the opcode after success and after failure",
        "0 and the opcode are no error; a pattern put before must read back as zeros in every frame",
    ),
    tried(HM, "UV-17", &[Halt], "U_PERMISSION: the guest is not secure", "no other range is tried; status 5"),
    tried(
        H,
        "UV-18",
        &[Work],
        "a frame number counted in 4 KiB pages would share 16 times the address",
        "one type for it, made by a shift of 16",
    ),
    tried(
        HQ,
        "UV-19",
        &[Refuse, Halt],
        "other data in a frame to be shared",
        "the pool is whole frames, apart from image, tree and heap; sharing clears it",
    ),
    tried(
        HM,
        "UV-20",
        &[Halt],
        "UV_ESM is refused, or succeeds and changes nothing",
        "status 4; never an ordinary guest that was asked to be secure",
    ),
];
