//! A hypervisor's actions on running CPUs: registers, interrupts, pauses.

use super::row::{Q, tried};
use crate::Case;
use crate::Response::{Halt, Ignore};

pub(super) const CASES: &[Case] = &[
    tried(
        Q,
        "INJ-01",
        &[Ignore],
        "at every hypercall, random numbers in all registers that are not its results",
        "nothing is relied on but the results; nothing lies in a register beyond the arguments",
    ),
    tried(
        Q,
        "INJ-02",
        &[Ignore],
        "an external interrupt or a decrementer at any instruction, many times",
        "every register is as it was, the work is right",
    ),
    tried(
        Q,
        "INJ-03",
        &[Halt],
        "any other of the 256 slots below 0x2000 at any instruction",
        "status 8; the console shows no register, no memory and no secret",
    ),
    tried(
        Q,
        "INJ-04",
        &[Halt],
        "a second interrupt at any of the first instructions of a handler",
        "status 8, or the work is right; no loop",
    ),
    tried(
        Q,
        "INJ-05",
        &[Halt],
        "a system reset inside copies of a secret",
        "the console shows nothing of it",
    ),
    tried(
        Q,
        "INJ-06",
        &[Halt],
        "a CPU that does not run for a while, or never again, anywhere or inside an RTAS call",
        "no other CPU's request changes; the work is right, or a named failure within a bound",
    ),
    tried(
        Q,
        "INJ-07",
        &[Ignore],
        "a CPU that is started without being asked for, with any number in r3",
        "it never runs on a stack; the others do all the work",
    ),
    tried(
        Q,
        "INJ-08",
        &[Halt],
        "two services of RTAS have one token, and the handler of the other one is reached",
        "refused by name before the first call; status 2",
    ),
    tried(
        Q,
        "INJ-09",
        &[Halt],
        "made-up status and words in answer to any RTAS call",
        "a named end within a bound, or the work is right; private memory is as it was",
    ),
    tried(
        Q,
        "INJ-10",
        &[Halt],
        "a system reset of one CPU, at any stage of its life, while another works",
        "status 8 without a register shown, or the work is right; one EXIT line",
    ),
];
