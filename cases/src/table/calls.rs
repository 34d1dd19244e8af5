//! Hypercalls and RTAS.

use super::row::{H, HF, HM, HQ, excluded, tried};
use crate::Case;
use crate::Response::{Clamp, Drop, Fail, Ignore, Refuse, Retry};

pub(super) const CASES: &[Case] = &[
    tried(
        HQ,
        "HC-01",
        &[Fail],
        "an hcall returns a status that PAPR does not define for it",
        "the caller gets an error that contains the number",
    ),
    tried(
        HQ,
        "HC-02",
        &[Retry],
        "an hcall always answers busy",
        "the guest repeats it for a limited time and a limited number of calls, then returns an error",
    ),
    tried(
        HF,
        "HC-03",
        &[Clamp],
        "an hcall succeeds with invalid outputs",
        "the guest limits lengths to what the call can carry",
    ),
    tried(
        H,
        "HC-05",
        &[Drop],
        "the terminal is always busy",
        "the guest drops the output after a time limit; the next write does not wait again",
    ),
    tried(
        HF,
        "HC-06",
        &[Ignore],
        "RTAS succeeds and overwrites its argument block, the counts included",
        "the block is private memory; the kernel copies as many result words as the caller asked for",
    ),
    excluded(
        "HC-09",
        "H_RANDOM returns numbers of the host's choice",
        "the kernel does not call H_RANDOM; RND-04 and RND-07 name its sources of random numbers",
    ),
    tried(
        HQ,
        "HC-10",
        &[Refuse],
        "H_GET_TCE returns another entry than H_PUT_TCE wrote",
        "the bridge's devices are refused, and the window is cleared",
    ),
    tried(
        HM,
        "HC-11",
        &[Ignore],
        "r3 holds the opcode after H_RTAS",
        "the status word of the argument block decides",
    ),
    tried(
        H,
        "HC-12",
        &[Ignore],
        "the host aborts at an hcall that is not in the ultravisor's table",
        "the kernel makes only the hcalls of a fixed list, which is part of that table, and does not probe for others",
    ),
];
