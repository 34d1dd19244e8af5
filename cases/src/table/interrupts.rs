//! Interrupts and time.

use super::row::{C, H, HQ, Q, excluded, tried};
use crate::Case;
use crate::Response::{Fallback, Halt, Ignore, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HQ,
        "IRQ-01",
        &[Ignore],
        "an interrupt of a source nobody registered",
        "acknowledged, masked, counted; nothing is called",
    ),
    tried(HQ, "IRQ-02", &[Fallback], "a storm on one source", "masked after a bound; polling goes on"),
    tried(H, "IRQ-03", &[Ignore], "XIRR of 0, or an inter-processor interrupt", "no source is looked up"),
    tried(HQ, "IRQ-04", &[Work], "no interrupt ever comes", "waits look for themselves, with a deadline"),
    tried(
        Q,
        "IRQ-05",
        &[Halt],
        "an exception that the kernel did not cause",
        "reported with its registers; status 8",
    ),
    tried(H, "IRQ-06", &[Work], "the timebase stands still", "every wait also ends by a count"),
    excluded(
        "IRQ-07",
        "an interrupt in the middle of anything",
        "interrupts are on only while a CPU waits; their handlers touch no memory",
    ),
    excluded(
        "IRQ-08",
        "an event-scan message of a wrong length",
        "event-scan and check-exception are never called",
    ),
    tried(
        C,
        "IRQ-09",
        &[Ignore],
        "an instruction that an ultravisor cannot emulate, met in the panic path",
        "device registers are reached by hcalls only, and the image has none beside the loop that copies the pool, \
         which is not used during an exception: checked in the built file",
    ),
    tried(
        H,
        "IRQ-10",
        &[Work],
        "an interrupt at another CPU than its source was routed to",
        "counted for its queue by whoever takes it; the queue's own CPU polls when its sleep ends",
    ),
    tried(
        H,
        "IRQ-11",
        &[Work],
        "the clock leaps by days or years, or goes back",
        "the network's own time never goes back, and forward by a minute a look at most: round trips and timers stay \
         in the range of their numbers, and what was lost of a month is caught up with",
    ),
    tried(
        Q,
        "IRQ-12",
        &[Work],
        "two devices with one message source",
        "each interrupt looks after both, or they are looked at without one; both do their work",
    ),
];
