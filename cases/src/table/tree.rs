//! Device tree and command line.

use super::row::{H, HF, HM, tried};
use crate::Case;
use crate::Response::{Clamp, Fallback, Halt, Ignore, Refuse, Work};

pub(super) const CASES: &[Case] = &[
    tried(HF, "DT-01", &[Halt], "wrong magic or version", "status 2"),
    tried(HF, "DT-02", &[Halt], "totalsize 0, 39, 2^32-1, beyond 2 MiB", "status 2; nothing is copied first"),
    tried(HF, "DT-03", &[Halt], "blocks outside, overlapping, misaligned", "status 2"),
    tried(HF, "DT-04", &[Halt], "a property longer than what is left", "status 2"),
    tried(HF, "DT-05", &[Halt], "a name offset outside the strings, or a name without end", "status 2"),
    tried(
        H,
        "DT-07",
        &[Ignore],
        "the tree changes while it is read",
        "a private copy is checked, read once and dropped",
    ),
    tried(
        HF,
        "DT-08",
        &[Ignore],
        "cell counts of 0 or 5, a short reg",
        "the node is left out, with a warning",
    ),
    tried(
        HF,
        "DT-09",
        &[Halt, Ignore],
        "memory that overlaps, wraps, is empty or lies elsewhere than the image",
        "odd ranges are left out; an image outside memory is status 2",
    ),
    tried(
        HF,
        "DT-10",
        &[Fallback, Ignore, Refuse],
        "two memory nodes, no /chosen, 64 KiB of bootargs or bytes that are no text",
        "the first counts; defaults; a line too long is one error",
    ),
    tried(
        HM,
        "DT-11",
        &[Halt, Work],
        "the tree announces an ultravisor, MSR[S] is 0",
        "UV_ESM; its success is secure-emulated and never private; without the mark: halt",
    ),
    tried(H, "DT-12", &[Work], "MSR[S] is 1, the tree says nothing", "secure"),
    tried(H, "DT-13", &[Ignore], "the tree denies secure mode, so that nothing is bounced", "MSR[S] decides"),
    tried(
        HF,
        "DT-14",
        &[Refuse],
        "a DMA window that wraps, is empty, or is shared by two bridges",
        "the bridge is refused",
    ),
    tried(H, "DT-15", &[Fallback], "the terminal's address is none", "the boot goes on; the log is kept"),
    tried(
        HF,
        "DT-17",
        &[Halt, Fallback],
        "a reservation over pool or image",
        "another place is chosen; none left: halt",
    ),
    tried(
        HF,
        "DT-18",
        &[Clamp, Refuse],
        "any bytes as a command line",
        "words that cannot be followed are named, eight of them; status 3",
    ),
    tried(
        super::row::HQ,
        "DT-19",
        &[Halt],
        "a timebase of 1 Hz, by which each wait is over at once, or of 2^63 Hz, by which none is",
        "status 2 with the number: a million to ten thousand million ticks a second",
    ),
    tried(
        super::row::Q,
        "DT-20",
        &[Halt],
        "a tree that is handed over on the stack of whoever reads it, so that it changes meanwhile",
        "status 2 with the address, before it is read: only the image's own room for a tree may hold one",
    ),
    tried(
        super::row::HQ,
        "DT-21",
        &[Halt],
        "two /chosen, /rtas or /cpus nodes, or two command lines: the ultravisor measures one, the guest follows the \
         other",
        "status 2 with the name: what an ultravisor reads is there once",
    ),
    tried(
        super::row::HQ,
        "DT-22",
        &[Halt],
        "a tree that names a boot CPU that it does not describe, or one that the ultravisor has no room for",
        "the number is named, with status 2 or, instead of UV_ESM, status 4: the CPU that runs is never started",
    ),
    tried(
        super::row::Q,
        "DT-23",
        &[Work],
        "a tree above 4 GiB, in a machine that is entered in 64-bit mode",
        "it is read where it is; a secure guest's copy is in the image",
    ),
    tried(
        super::row::Q,
        "DT-24",
        &[Halt],
        "10,000 CPUs",
        "status 2, more nodes than a tree may have; of 5,000 those are used that there are stacks for",
    ),
    tried(
        super::row::Q,
        "DT-25",
        &[Work],
        "an interrupt map that leads from the host bridge to itself",
        "it is not followed: an entry's source is taken as it is, and is masked if no device has it",
    ),
    tried(
        super::row::Q,
        "DT-26",
        &[Ignore],
        "a host bridge or a CPU that is disabled",
        "the word is not read: what answers is used, what does not is named",
    ),
    tried(
        super::row::Q,
        "DT-27",
        &[Work],
        "a tree that names another CPU than the one that booted, and that there is",
        "it is believed; the one that runs cannot be started again, which is named, the other one is never started, and \
         devices are looked at when their interrupts do not come",
    ),
];
