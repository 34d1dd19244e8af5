//! A hypervisor's actions on running CPUs: registers, interrupts, pauses.

use super::row::{Q, tried};
use crate::Case;
use crate::Response::{Halt, Ignore};

pub(super) const CASES: &[Case] = &[
    tried(
        Q,
        "INJ-01",
        &[Ignore],
        "at every hypercall, the host writes random numbers to all registers that are not results of the call",
        "the guest relies on the results only, and passes no data in registers that are not arguments",
    ),
    tried(
        Q,
        "INJ-02",
        &[Ignore],
        "an external interrupt or a decrementer interrupt at any instruction, many times",
        "the guest restores every register, and the work is correct",
    ),
    tried(
        Q,
        "INJ-03",
        &[Halt],
        "any other of the 256 slots below 0x2000, at any instruction",
        "status 8, or correct work; the console shows no register, no memory and no secret",
    ),
    tried(
        Q,
        "INJ-04",
        &[Halt],
        "a second interrupt at any of the first instructions of a handler",
        "status 8, or correct work; no loop",
    ),
    tried(
        Q,
        "INJ-05",
        &[Halt],
        "a system reset while registers hold parts of a secret",
        "the console shows nothing of the secret",
    ),
    tried(
        Q,
        "INJ-06",
        &[Halt],
        "a CPU stops for a while or for ever, at any instruction or inside an RTAS call",
        "no other CPU's request changes; the work is correct, or the run ends with a named failure within a time limit",
    ),
    tried(
        Q,
        "INJ-07",
        &[Ignore],
        "the host starts a CPU that the guest did not ask for, with any number in r3",
        "the CPU never gets a stack; the other CPUs do all the work",
    ),
    tried(
        Q,
        "INJ-08",
        &[Halt],
        "two RTAS services have one token, and the host runs the other one's handler",
        "the guest names the token before its first RTAS call; status 2",
    ),
    tried(
        Q,
        "INJ-09",
        &[Halt],
        "random status and result words in answer to any RTAS call",
        "the run ends with a named error within a time limit, or the work is correct; private memory does not change",
    ),
    tried(
        Q,
        "INJ-10",
        &[Halt],
        "a system reset of one CPU, at any stage of its life, while another one works",
        "status 8 and no register on the console, or correct work; one EXIT line",
    ),
];
