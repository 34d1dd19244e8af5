//! Interrupts and time.

use super::row::{C, H, HQ, Q, excluded, tried};
use crate::Case;
use crate::Response::{Fallback, Halt, Ignore, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HQ,
        "IRQ-01",
        &[Ignore],
        "an interrupt from a source that no driver registered",
        "the source is acknowledged, masked and counted; no driver is notified",
    ),
    tried(
        HQ,
        "IRQ-02",
        &[Fallback],
        "a storm of interrupts from one source",
        "the source is masked after a number of interrupts; the driver polls instead",
    ),
    tried(
        H,
        "IRQ-03",
        &[Ignore],
        "XIRR is 0, or an inter-processor interrupt",
        "the guest looks up no source",
    ),
    tried(
        HQ,
        "IRQ-04",
        &[Work],
        "no interrupt ever arrives",
        "each wait also polls the device, and has a deadline",
    ),
    tried(
        Q,
        "IRQ-05",
        &[Halt],
        "an exception that the kernel did not cause",
        "a report and status 8; an ordinary guest's report has the registers",
    ),
    tried(
        H,
        "IRQ-06",
        &[Work],
        "the timebase does not advance",
        "every wait also has a limit on its number of polls",
    ),
    excluded(
        "IRQ-07",
        "an interrupt in the middle of any operation",
        "interrupts are enabled only while a CPU waits; their handlers access no memory",
    ),
    excluded(
        "IRQ-08",
        "an event-scan message of a wrong length",
        "the kernel never calls event-scan or check-exception",
    ),
    tried(
        C,
        "IRQ-09",
        &[Ignore],
        "the panic path executes an instruction that an ultravisor cannot emulate",
        "the kernel accesses device registers by hcalls only; the loop that copies to and from the pool has the only such instructions, and no exception path uses it: a check of the built file",
    ),
    tried(
        H,
        "IRQ-10",
        &[Work],
        "an interrupt arrives at another CPU than the one to which its source is routed",
        "the CPU that takes it counts it for the source's queue; the queue's own CPU polls when its sleep ends",
    ),
    tried(
        H,
        "IRQ-11",
        &[Work],
        "the clock jumps forward by days or years, or backward",
        "the network stack's time never goes back, and advances by at most a minute per poll: round-trip times and timers do not overflow, and after a jump of a month the time catches up",
    ),
    tried(
        Q,
        "IRQ-12",
        &[Work],
        "two devices have one message source",
        "each interrupt serves both devices, or both are polled; both do their work",
    ),
];
