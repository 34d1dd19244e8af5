//! What a run came to, and what the kernel counted.

use super::Stated::{Boot, TestWords, Words};
use super::Value::{Count, Hex, OneOf, Text};
use super::facts;

facts! {
    ULTRACALLS: 0 = "ultracalls", Count("ultracalls"), Boot, "ultracalls since the entry of the secure kernel";
    WORK_ASKED: 0 = "work.asked", Count("pieces"), Boot, "pieces of work that `run=` asked for: a disk to read, a card to ping";
    WORK_DONE: 0 = "work.done", Count("pieces"), Boot, "pieces of work that were done";
    DEVICES_REFUSED: 0 = "devices.refused", Count("devices"), Boot, "devices, bridges and host bridges that were left out because of an error; each is named on the console";
    DEVICES_UNUSED: 0 = "devices.unused", Count("devices"), Boot,
        "PCI functions that are no bridge, and devices under `/vdevice` besides the console and `nvram`, that are not used, because there is no driver or nobody asked for the serial card; each is named on the console";
    DEVICES_APPEARED: 0 = "devices.appeared", Count("devices"), Boot, "PCI devices that appeared after boot and are not used; each is named on the console";
    CONSOLE_UART: 0 = "console.uart", OneOf(&["attached", "none"]), Words(&["console=uart"]),
        "whether a 16550 has the console, too; `none` counts as a device that is missing (status 6)";
    BYTES_TO_POOL: 0 = "bytes.to_pool", Count("bytes"), Boot, "bytes copied to the pool for all devices";
    BYTES_FROM_POOL: 0 = "bytes.from_pool", Count("bytes"), Boot, "bytes copied from the pool for all devices";
    IRQ_TAKEN: 0 = "irq.taken", Count("interrupts"), Boot, "interrupts of devices; not stated when a CPU stands still in the middle of one";
    IRQ_UNKNOWN: 0 = "irq.unknown", Count("interrupts"), Boot, "interrupts of sources that belong to nothing here, each of which was masked; as `irq.taken`";
    IRQ_WAKE_LATENCY_NS: 0 = "irq.wake_latency_ns", Count("nanoseconds"), Boot, "time from the end of a sleep until the CPU runs again, measured at boot";
    HEAP_USED: 0 = "heap.used", Count("bytes"), Boot, "private heap in use at the end";
    HEAP_FREE: 0 = "heap.free", Count("bytes"), Boot, "private heap that is free at the end";
    HEAP_UNUSED: 0 = "heap.unused", Count("bytes"), Boot, "memory that the heap has not grown into";
    MONITOR: 0 = "monitor", OneOf(&["ready", "done"]), Words(&["monitor"]), "printed at once: `ready` when commands are followed, `done` when that ends";
    MAP: 1 = "map.N", Text("`START END RIGHTS`"), Words(&["map"]), "the N-th run of pages with the same rights, such as `0x0 0x10000 r-x`";
    CANARY_HEAP: 0 = "canary.heap", Hex, TestWords(&["canary="]), "address of the secrets that were planted in the heap";
    CANARY_IMAGE: 0 = "canary.image", Hex, TestWords(&["canary="]), "address of the secrets that were planted in the image";
    TESTS_ASKED: 0 = "tests.asked", Count("tests"), TestWords(&["tests"]), "tests that `test=` names";
    TESTS_OK: 0 = "tests.ok", Count("tests"), TestWords(&["tests"]), "tests that were ok";
    TESTS_FAILED: 0 = "tests.failed", Count("tests"), TestWords(&["tests"]), "tests that were not ok; any of them makes status 14";
    TESTS_SKIPPED: 0 = "tests.skipped", Count("tests"), TestWords(&["tests"]), "tests that this machine lacks something for; each names it";
    MEMORY_FILLED_BYTES: 0 = "memory.filled_bytes", Count("bytes"), TestWords(&["memory"]), "memory that was taken and marked";
    MEMORY_FILLED_TOP: 0 = "memory.filled_top", Hex, TestWords(&["memory"]), "one past the highest address of it";
    BREACH_ADDRESS: 0 = "breach.address", Hex, TestWords(&["breach-*"]), "where a rule of the memory map is about to be broken; printed at once";
}
