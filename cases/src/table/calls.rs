//! Hypercalls and RTAS.

use super::row::{H, HF, HM, HQ, excluded, tried};
use crate::Case;
use crate::Response::{Clamp, Drop, Fail, Ignore, Refuse, Retry};

pub(super) const CASES: &[Case] = &[
    tried(HQ, "HC-01", &[Fail], "a status that the call does not have", "an error with the number"),
    tried(HQ, "HC-02", &[Retry], "busy for ever", "bounded by time and count; then an error"),
    tried(
        HF,
        "HC-03",
        &[Clamp],
        "success with senseless outputs",
        "lengths are cut to what the call can carry",
    ),
    tried(
        H,
        "HC-05",
        &[Drop],
        "the terminal is always busy",
        "output is dropped after a bound; the next write does not wait again",
    ),
    tried(
        HF,
        "HC-06",
        &[Ignore],
        "RTAS succeeds and rewrites its argument block, counts included",
        "the block is private; as many words are copied as the caller wants",
    ),
    excluded(
        "HC-09",
        "H_RANDOM answers chosen numbers",
        "H_RANDOM is not in the list of calls: numbers come from `darn`",
    ),
    tried(
        HQ,
        "HC-10",
        &[Refuse],
        "H_GET_TCE shows another entry than was put",
        "the bridge's devices are refused and the window cleared",
    ),
    tried(HM, "HC-11", &[Ignore], "r3 holds the opcode after H_RTAS", "the status word decides"),
    tried(
        H,
        "HC-12",
        &[Ignore],
        "an hcall outside the ultravisor's table makes the host abort",
        "the list of calls is closed and lies inside that table; nothing is probed",
    ),
];
