//! Disks. The first N is the disk's number.

use super::Stated::{Each, TestWords, Words};
use super::Value::{Count, Digits, OneOf, Text};
use super::{Stated, facts};

const DISK: Stated = Each("disk");
const SMP: Stated = Words(&["blk-smp"]);
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
    SHA256_1M: 1 = "blkN.sha256_1m", Digits(64), Words(&["demo"]), "SHA-256 of the first MiB, or of the whole of a smaller disk";
    SHA256: 1 = "blkN.sha256", Digits(64), Words(&["blk-digest"]), "SHA-256 of the whole disk";
    SHA256_BYTES: 1 = "blkN.sha256_bytes", Count("bytes"), Words(&["blk-digest"]), "size of the disk when it was read";
    LEFT_TO: 1 = "blkN.left_to", Text("step of `run=`"), Words(&["blk-digest"]),
        "the step that `blk-digest` has left this disk to, because it is named `scratch`";
    PATTERN_BYTES: 1 = "blkN.pattern_bytes", Count("bytes"), Words(&["blk-pattern"]), "bytes that were written and read back equal";
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
