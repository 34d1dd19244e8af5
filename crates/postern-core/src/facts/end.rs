//! What a run came to, and what the kernel counted.

use super::Stated::{Boot, TestWords, Words};
use super::Value::{Count, Hex, OneOf, Text};
use super::facts;

facts! {
    ULTRACALLS: 0 = "ultracalls", Count("ultracalls"), Boot, "ultracalls since the entry of the secure kernel";
    WORK_ASKED: 0 = "work.asked", Count("pieces"), Boot, "pieces of work in `run=`, such as a disk to read or a card to get an address for";
    WORK_DONE: 0 = "work.done", Count("pieces"), Boot, "pieces of work that were done";
    DEVICES_REFUSED: 0 = "devices.refused", Count("devices"), Boot, "devices, bridges and host bridges that were left out because of an error; each is named on the console";
    DEVICES_UNUSED: 0 = "devices.unused", Count("devices"), Boot,
        "PCI functions (bridges excepted) and devices under `/vdevice` (the console and `nvram` excepted) that are not used, because there is no driver for them or, for a serial card, no `console=uart`; each is named on the console";
    DEVICES_APPEARED: 0 = "devices.appeared", Count("devices"), Boot, "PCI devices that appeared after boot and are not used; each is named on the console";
    CONSOLE_UART: 0 = "console.uart", OneOf(&["attached", "none"]), Words(&["console=uart"]),
        "whether the console is also on a 16550; `none` counts as a missing device (status 6)";
    BYTES_TO_POOL: 0 = "bytes.to_pool", Count("bytes"), Boot, "bytes copied to the pool for all devices";
    BYTES_FROM_POOL: 0 = "bytes.from_pool", Count("bytes"), Boot, "bytes copied from the pool for all devices";
    IRQ_TAKEN: 0 = "irq.taken", Count("interrupts"), Boot, "interrupts of devices; absent if a CPU was stopped in the middle of one";
    IRQ_UNKNOWN: 0 = "irq.unknown", Count("interrupts"), Boot, "interrupts of sources that no driver registered; each was masked; absent as `irq.taken`";
    IRQ_WAKE_LATENCY_NS: 0 = "irq.wake_latency_ns", Count("nanoseconds"), Boot, "time from the end of a sleep until the CPU runs again, measured at boot";
    HEAP_USED: 0 = "heap.used", Count("bytes"), Boot, "private heap in use at the end";
    HEAP_FREE: 0 = "heap.free", Count("bytes"), Boot, "private heap that is free at the end";
    HEAP_UNUSED: 0 = "heap.unused", Count("bytes"), Boot, "memory into which the heap has not grown";
    MONITOR: 0 = "monitor", OneOf(&["ready", "done"]), Words(&["monitor"]), "printed at once: `ready` when the monitor accepts commands, `done` when it ends";
    MAP: 1 = "map.N", Text("`START END RIGHTS`"), Words(&["map"]), "the N-th run of pages with the same rights, such as `0x0 0x10000 r-x`";
    CANARY_HEAP: 0 = "canary.heap", Hex, TestWords(&["canary="]), "address of the secrets that `canary=` put into the heap";
    CANARY_IMAGE: 0 = "canary.image", Hex, TestWords(&["canary="]), "address of the secrets that `canary=` put into the image";
    TESTS_ASKED: 0 = "tests.asked", Count("tests"), TestWords(&["tests"]), "tests that `test=` names";
    TESTS_OK: 0 = "tests.ok", Count("tests"), TestWords(&["tests"]), "tests that passed";
    TESTS_FAILED: 0 = "tests.failed", Count("tests"), TestWords(&["tests"]), "tests that failed; one of them is enough for status 14";
    TESTS_SKIPPED: 0 = "tests.skipped", Count("tests"), TestWords(&["tests"]), "tests that were skipped because the machine lacks a requirement; the line of each names it";
    MEMORY_FILLED_BYTES: 0 = "memory.filled_bytes", Count("bytes"), TestWords(&["memory"]), "memory that the step took and marked";
    MEMORY_FILLED_TOP: 0 = "memory.filled_top", Hex, TestWords(&["memory"]), "end of the highest part of it: its last address plus 1";
    BREACH_ADDRESS: 0 = "breach.address", Hex, TestWords(&["breach-*"]), "address of the access with which the step is about to break a rule of the memory map; printed at once";
}
