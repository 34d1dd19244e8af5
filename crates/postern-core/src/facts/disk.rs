//! Disks. The first N is the disk's number.

use super::Stated::{Each, TestWords, Words};
use super::Value::{Count, CountOr, Digits, OneOf, Text};
use super::{Stated, facts};

const DISK: Stated = Each("disk");
const SMP: Stated = Words(&["blk-smp"]);
const DISCARD: Stated = TestWords(&["blk-discard"]);
const COST: Stated = TestWords(&["irq-cost"]);

facts! {
    CAPACITY_BYTES: 1 = "blkN.capacity_bytes", Count("bytes"), DISK, "size of the disk";
    READ_ONLY: 1 = "blkN.read_only", OneOf(&["yes", "no"]), DISK, "whether the device refuses writes";
    ID: 1 = "blkN.id", Text("text, escaped as above"), DISK, "serial number that the device reports";
    DEVICE: 1 = "blkN.device", Text("`DOMAIN:BUS:DEVICE.FUNCTION`"), DISK, "its PCI address, such as `0001:00:02.0`";
    TRANSLATION: 1 = "blkN.translation", OneOf(&["gpa", "tce"]), DISK, "addresses that it uses: `gpa`: guest physical addresses; `tce`: those of its DMA window";
    BOUNCED: 1 = "blkN.bounced", OneOf(&["yes", "no"]), DISK, "whether its requests are copied through the pool";
    INTERRUPTS: 1 = "blkN.interrupts", OneOf(&["msi-x", "lsi", "poll"]), DISK, "how the device notifies the kernel";
    QUEUES: 1 = "blkN.queues", Count("virtqueues"), DISK,
        "virtqueues in use: one for each CPU, if the device has so many and the pool has room for them";
    TAIL_BYTES: 1 = "blkN.tail_bytes", Count("bytes"), DISK,
        "bytes after the last whole block; the guest cannot read them; 0 for an ordinary disk";
    BLOCK_BYTES: 1 = "blkN.block_bytes", Count("bytes"), DISK, "logical block size: the unit of requests";
    PHYSICAL_BYTES: 1 = "blkN.physical_bytes", Count("bytes"), DISK, "physical block size, a hint of the device; without a hint the logical block size";
    OPTIMAL_BYTES: 1 = "blkN.optimal_bytes", Count("bytes"), DISK, "best length of a request, a hint of the device; 0 without a hint";
    WRITE_CACHE: 1 = "blkN.write_cache", OneOf(&["back", "through"]), DISK,
        "when a write is durable, as the device reports it: `back`: after a flush; `through`: when it completes";
    DISCARD_BYTES: 1 = "blkN.discard_bytes", CountOr("bytes", "none"), DISK,
        "most bytes that one request can discard; `none`: the device does not offer discard, or its limits allow no request";
    ZEROES_BYTES: 1 = "blkN.zeroes_bytes", CountOr("bytes", "none"), DISK,
        "most bytes that one write-zeroes request can cover; `none`: as for `blkN.discard_bytes`";
    RESIZES: 1 = "blkN.resizes", Count("changes"), DISK, "changes of the capacity that the driver noticed";
    END_BYTES: 1 = "blkN.end_bytes", Count("bytes"), DISK, "size of the disk at the end of the run";
    SHA256_1M: 1 = "blkN.sha256_1m", Digits(64), Words(&["demo"]), "SHA-256 of the first MiB, or of a whole smaller disk";
    SHA256: 1 = "blkN.sha256", Digits(64), Words(&["blk-digest"]), "SHA-256 of the whole disk";
    SHA256_BYTES: 1 = "blkN.sha256_bytes", Count("bytes"), Words(&["blk-digest"]), "size of the disk when it was read";
    LEFT_TO: 1 = "blkN.left_to", Text("step of `run=`"), Words(&["blk-digest"]),
        "`blk-digest` does not read this disk, because it is named `scratch` and this step may write to it";
    PATTERN_BYTES: 1 = "blkN.pattern_bytes", Count("bytes"), Words(&["blk-pattern"]), "bytes that were written and read back correctly";
    DISCARDED_BYTES: 1 = "blkN.discarded_bytes", Count("bytes"), DISCARD, "bytes at the start of the disk that the guest discarded";
    DISCARDED_ZEROS: 1 = "blkN.discarded_zeros", Count("bytes"), DISCARD, "how many of these bytes read as zeros afterwards; the content of discarded blocks is undefined";
    ZEROED_BYTES: 1 = "blkN.zeroed_bytes", Count("bytes"), DISCARD, "bytes after the discarded ones that the guest zeroed and read back as zeros; in the first half of them the disk was allowed to unmap blocks";
    KEPT_BYTES: 1 = "blkN.kept_bytes", Count("bytes"), DISCARD, "bytes after the zeroed ones, up to the end, that kept the pattern";
    CPU_SERVER: 2 = "blkN.cpu.N.server", Count("interrupt server"), SMP, "interrupt server number of a CPU that worked on the disk, as that CPU reports it; the second N counts these CPUs";
    CPU_QUEUE: 2 = "blkN.cpu.N.queue", Count("queue"), SMP, "number of this CPU's queue";
    CPU_RANGE: 2 = "blkN.cpu.N.range", Text("two hexadecimal numbers"), SMP, "part of the disk that this CPU worked on: its first byte, and one past its last";
    CPU_SHA256: 2 = "blkN.cpu.N.sha256", Digits(64), SMP, "SHA-256 of that part; only of a data disk";
    CPU_INTERRUPTS: 2 = "blkN.cpu.N.interrupts", Count("interrupts"), SMP, "interrupts of that queue since boot";
    CPU_INTERRUPTED: 2 = "blkN.cpu.N.interrupted", Count("interrupt server"), SMP, "CPU that took the last of them; absent if there was none";
    READ_POLLED_NS: 1 = "blkN.read_polled_ns", Count("nanoseconds"), COST, "time of a 4 KiB read while the CPU polls, lower quartile of 500 reads";
    READ_POLLED_HCALLS: 1 = "blkN.read_polled_hcalls", Count("hypercalls"), COST, "hypercalls of such a read, median";
    READ_INTERRUPT_NS: 1 = "blkN.read_interrupt_ns", Count("nanoseconds"), COST, "time of a 4 KiB read with the driver's usual wait, lower quartile of 500 reads";
    READ_INTERRUPT_HCALLS: 1 = "blkN.read_interrupt_hcalls", Count("hypercalls"), COST, "hypercalls of such a read, median";
    READ_INTERRUPTS: 1 = "blkN.read_interrupts", Count("interrupts"), COST, "interrupts during those reads";
}
