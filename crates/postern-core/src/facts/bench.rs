//! Benchmarks. N is the number of a piece of work of `bench=`, counted from 0.

use super::Stated::TestWords;
use super::Value::{Count, Text};
use super::{Stated, facts};

const BLK: Stated = TestWords(&["bench-blk", "bench-smp"]);
const COPY: Stated = TestWords(&["bench-copy"]);
const SLOTS: Stated = TestWords(&["bench-pool"]);

facts! {
    READY: 0 = "bench.ready", Count("ticks"), BLK, "the timebase when all drivers are ready; printed at once";
    TIMEBASE_HZ: 0 = "bench.timebase_hz", Count("ticks a second"), BLK, "frequency of the timebase";
    CPUS: 0 = "bench.cpus", Count("CPUs"), BLK,
        "CPUs that take part, each with a queue of its own; the figures below are sums over all of them, and the times are the longest";
    WORK: 1 = "bench.N.work", Text("as in `bench=`"), BLK, "the N-th piece of work";
    REQUESTS: 1 = "bench.N.requests", Count("requests"), BLK, "completed requests";
    TICKS: 1 = "bench.N.ticks", Count("ticks"), BLK, "time that the work took";
    IDLE: 1 = "bench.N.idle", Count("ticks"), BLK, "part of that time in which the guest waited for the device";
    DEPTH: 1 = "bench.N.depth", Count("requests"), BLK, "largest number of requests in flight";
    IOPS: 1 = "bench.N.iops", Count("requests a second"), BLK, "rate of requests";
    KB_S: 1 = "bench.N.kb_s", Count("thousand bytes a second"), BLK, "rate of bytes";
    COPY_KB_S: 1 = "bench.copy.N.kb_s", Count("thousand bytes a second"), COPY, "rate of copies from private to private memory, with the request size and the number of buffers of the N-th piece of work";
    SLOT_FILL: 1 = "bench.slot.N.fill", Count("percent"), SLOTS, "share of a pool's 4 KiB slots that is in use during the N-th measurement";
    SLOT_PAIRS: 1 = "bench.slot.N.pairs", Count("times"), SLOTS, "number of times that one more slot was taken and freed";
    SLOT_TICKS: 1 = "bench.slot.N.ticks", Count("ticks"), SLOTS, "time of all these operations";
}
