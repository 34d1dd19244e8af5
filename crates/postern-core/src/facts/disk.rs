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
    READ_ONLY: 1 = "blkN.read_only", OneOf(&["yes", "no"]), DISK, "whether the device takes no writes";
    ID: 1 = "blkN.id", Text("text, escaped as above"), DISK, "serial number that the device states";
    DEVICE: 1 = "blkN.device", Text("`DOMAIN:BUS:DEVICE.FUNCTION`"), DISK, "which PCI function it is, as in `0001:00:02.0`";
    TRANSLATION: 1 = "blkN.translation", OneOf(&["gpa", "tce"]), DISK, "whether it is given guest addresses or those of its DMA window";
    BOUNCED: 1 = "blkN.bounced", OneOf(&["yes", "no"]), DISK, "whether its requests are copied through the pool";
    INTERRUPTS: 1 = "blkN.interrupts", OneOf(&["msi-x", "lsi", "poll"]), DISK, "how the kernel learns that the device has done something";
    QUEUES: 1 = "blkN.queues", Count("virtqueues"), DISK,
        "virtqueues in use: one for each CPU, as far as the device and its part of the pool have them";
    TAIL_BYTES: 1 = "blkN.tail_bytes", Count("bytes"), DISK,
        "bytes after the last whole block, which cannot be reached; 0 for any ordinary disk";
    BLOCK_BYTES: 1 = "blkN.block_bytes", Count("bytes"), DISK, "its logical block: the unit of requests";
    PHYSICAL_BYTES: 1 = "blkN.physical_bytes", Count("bytes"), DISK, "its physical block, as the device hints; else the logical one";
    OPTIMAL_BYTES: 1 = "blkN.optimal_bytes", Count("bytes"), DISK, "length of a request that suits it best; 0 without a hint";
    WRITE_CACHE: 1 = "blkN.write_cache", OneOf(&["back", "through"]), DISK,
        "when a write is durable, as the device says: after a flush, or when it completes";
    DISCARD_BYTES: 1 = "blkN.discard_bytes", CountOr("bytes", "none"), DISK,
        "most that one request discards; `none` when the device does not offer it, or with limits that allow nothing";
    ZEROES_BYTES: 1 = "blkN.zeroes_bytes", CountOr("bytes", "none"), DISK,
        "most that one request makes zeros without carrying them; `none` as above";
    RESIZES: 1 = "blkN.resizes", Count("changes"), DISK, "changes of its capacity that the driver noticed";
    END_BYTES: 1 = "blkN.end_bytes", Count("bytes"), DISK, "size of the disk at the end of the run";
    SHA256_1M: 1 = "blkN.sha256_1m", Digits(64), Words(&["demo"]), "SHA-256 of the first MiB, or of the whole of a smaller disk";
    SHA256: 1 = "blkN.sha256", Digits(64), Words(&["blk-digest"]), "SHA-256 of the whole disk";
    SHA256_BYTES: 1 = "blkN.sha256_bytes", Count("bytes"), Words(&["blk-digest"]), "size of the disk when it was read";
    LEFT_TO: 1 = "blkN.left_to", Text("step of `run=`"), Words(&["blk-digest"]),
        "the step that `blk-digest` has left this disk to, because it is named `scratch`";
    PATTERN_BYTES: 1 = "blkN.pattern_bytes", Count("bytes"), Words(&["blk-pattern"]), "bytes that were written and read back equal";
    DISCARDED_BYTES: 1 = "blkN.discarded_bytes", Count("bytes"), DISCARD, "bytes from the first on that the disk was told to discard";
    DISCARDED_ZEROS: 1 = "blkN.discarded_zeros", Count("bytes"), DISCARD, "bytes of them that read as zeros afterwards; a disk may let them hold anything";
    ZEROED_BYTES: 1 = "blkN.zeroed_bytes", Count("bytes"), DISCARD, "bytes after those that were made zeros and read as such; the disk might let go of the first half of them";
    KEPT_BYTES: 1 = "blkN.kept_bytes", Count("bytes"), DISCARD, "bytes to the end that kept the pattern";
    CPU_SERVER: 2 = "blkN.cpu.N.server", Count("interrupt server"), SMP, "number of the second N-th CPU that worked on the disk, as that CPU knows it";
    CPU_QUEUE: 2 = "blkN.cpu.N.queue", Count("queue"), SMP, "number of the queue that this CPU used";
    CPU_RANGE: 2 = "blkN.cpu.N.range", Text("two hexadecimal numbers"), SMP, "part of the disk that this CPU worked on: its first byte, and one past its last";
    CPU_SHA256: 2 = "blkN.cpu.N.sha256", Digits(64), SMP, "SHA-256 of that part; of a data disk";
    CPU_INTERRUPTS: 2 = "blkN.cpu.N.interrupts", Count("interrupts"), SMP, "interrupts of that queue since boot";
    CPU_INTERRUPTED: 2 = "blkN.cpu.N.interrupted", Count("interrupt server"), SMP, "CPU that took the last of them; absent when there was none";
    READ_POLLED_NS: 1 = "blkN.read_polled_ns", Count("nanoseconds"), COST, "time of a 4 KiB read that is polled for, lower quartile of 500";
    READ_POLLED_HCALLS: 1 = "blkN.read_polled_hcalls", Count("hypercalls"), COST, "hypercalls of such a read, median";
    READ_INTERRUPT_NS: 1 = "blkN.read_interrupt_ns", Count("nanoseconds"), COST, "time of a 4 KiB read as the driver waits for it, lower quartile of 500";
    READ_INTERRUPT_HCALLS: 1 = "blkN.read_interrupt_hcalls", Count("hypercalls"), COST, "hypercalls of such a read, median";
    READ_INTERRUPTS: 1 = "blkN.read_interrupts", Count("interrupts"), COST, "interrupts that came during those reads";
}
