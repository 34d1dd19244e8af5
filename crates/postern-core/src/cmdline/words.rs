//! The words of the command line with their help. `make lists` generates the text of `make help` from these lists.

use super::Step;

/// A word with its help.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// The step's name, or the option with the form of its value.
    pub word: &'static str,
    /// What it is for, in a few words.
    pub help: &'static str,
}

/// Lists of names, which images have, beside lists of help, which they do not have.
macro_rules! words {
    ($(#[$meta:meta])* options $names:ident, $helps:ident: [$len:literal] $($name:literal $form:literal $help:literal;)*) => {
        $(#[$meta])*
        pub const $names: [&[u8]; $len] = [$($name.as_bytes()),*];
        /// Their help.
        pub const $helps: [Help; $len] = [$(Help { word: concat!($name, "=", $form), help: $help }),*];
    };
    ($(#[$meta:meta])* steps $names:ident, $helps:ident: [$len:literal] $($name:literal $help:literal;)*) => {
        $(#[$meta])*
        pub const $names: [&str; $len] = [$($name),*];
        /// Their help.
        pub const $helps: [Help; $len] = [$(Help { word: $name, help: $help }),*];
    };
    ($(#[$meta:meta])* product $names:ident, $helps:ident: [$len:literal] $($step:ident $name:literal $help:literal;)*) => {
        $(#[$meta])*
        pub const $names: [(&str, Step); $len] = [$(($name, Step::$step)),*];
        /// Their help.
        pub const $helps: [Help; $len] = [$(Help { word: $name, help: $help }),*];
    };
}

words! {
    /// Every step of the product with the name it has in `run=`.
    product STEPS, STEP_HELP: [7]
    Demo "demo" "what make run shows: each device, the first MiB of the disk, the network";
    BlkDigest "blk-digest" "SHA-256 of every whole disk, but of those that another step of run= may write to";
    BlkPattern "blk-pattern" "writes a seeded pattern over the whole scratch disk and reads it back";
    BlkSmp "blk-smp" "reads every data disk and overwrites every scratch disk, all CPUs at the same time, each a part of it";
    NetServe "net-serve" "answers ARP, ICMP echo, UDP and TCP echo on port 7, and a status page on port 80, of the first card \
        that gets an address until q is typed or serve= passes";
    Monitor "monitor" "follows commands that a person types on the console, until off, Ctrl-D or serve=; help lists them; meanwhile serves the first card as net-serve does";
    Map "map" "states the memory map: each run of pages with its rights";
}

words! {
    /// Every option of the product; what is neither here nor one of an image's own is unknown.
    options OPTIONS, OPTION_HELP: [14]
    "svm" "on|off|emulated" "ask for secure mode, never, or where firmware cannot publish /ibm,ultravisor";
    "pool" "8M" "size of the shared pool, whole 64 KiB frames, up to 1G; behind a host bridge that makes no dynamic \
        windows, up to its DMA window less one frame for devices with ACCESS_PLATFORM";
    "loglevel" "info" "off, error, warn, info, debug or trace";
    "console" "hvc|uart" "uart: also on a 16550 behind pci-serial; without one, status 6";
    "run" "STEP,STEP,..." "what to do after boot, in order; default demo";
    "ip" "dhcp|A.B.C.D/len" "the card's address";
    "gw" "A.B.C.D" "the gateway, with the second form of ip=";
    "irq" "auto|lsi|poll" "the interrupts that devices may use: the best they have, level interrupts, none";
    "report" "auto|full" "full: crash reports of an emulated secure VM show registers, stack and log, too";
    "seed" "1" "of the pattern of blk-pattern and blk-smp; in the test image also of soak, blk-discard, bench-blk, bench-smp \
        and tests";
    "serve" "SECONDS" "how long net-serve and monitor last; in the test image also net-bench and soak";
    "http" "on|off" "whether net-serve and monitor have a status page on port 80; default: on in an ordinary guest, off in a secure one";
    "device-timeout" "SECONDS" "how long a device may take over a request before it counts as broken; default: 30 for a disk, \
        60 for a card";
    "secret" "NAME" "a file of the ESM blob, fetched once before devices come up, cleared after the work; status 4 where \
        the ultravisor does not give it";
}

words! {
    /// The steps that only the test image has.
    steps TEST_STEPS, TEST_STEP_HELP: [17]
    "soak" "random work on all devices, which are reset now and then for serve= seconds; goes on undisturbed until q is \
        typed or two minutes have passed; compares all, gives all back";
    "irq-cost" "times 4 KiB reads of the first disk, polled and by interrupt";
    "net-bench" "net-serve after pinging the gateway, and UDP and TCP one way: port 9 discards, port 19 sends";
    "blk-discard" "writes a seeded pattern over the whole scratch disk, discards a quarter of it, writes zeros over two, reads \
        all of it back";
    "bench-blk" "measures the pieces of work of bench= on the scratch disk; writes keep what it holds";
    "bench-smp" "the same on all queues of the scratch disk at once, each by a CPU of its own; figures are sums";
    "bench-pool" "measures taking and giving back a 4 KiB slot of a pool that is 0, 25, 50, 75 and 95 % full";
    "bench-copy" "measures how fast private memory is copied to private memory, in buffers as bench= says";
    "memory" "takes all memory, marks it, finds the marks again, gives it back";
    "tests" "the tests of test=, by TAP 13; without run= the default where there is a test=; a test that writes, writes \
        to the scratch disk";
    "breach-text-write" "writes to instructions; this and the others end with status 8";
    "breach-data-execute" "executes data";
    "breach-pool-execute" "executes from the shared pool";
    "breach-stack-execute" "executes from the stack";
    "breach-null-read" "reads near address 0";
    "breach-stack-overflow" "uses more stack than there is";
    "breach-other-stack-overflow" "the same on another CPU";
}

/// The options that only the test image has. Every image knows their names, so that the product's error can name the
/// test image.
pub const TEST_OPTIONS: [&str; 4] = ["bench", "canary", "test", "echo"];
/// Their help.
pub const TEST_OPTION_HELP: [Help; 4] = [
    Help {
        word: "bench=WORK,...",
        help: "of bench-blk and bench-smp: read|write:SIZE:DEPTH:seq|random:MILLISECONDS",
    },
    Help {
        word: "canary=N",
        help: "plant secrets of this seed in private memory, for a search from outside",
    },
    Help {
        word: "test=NAME,...|all",
        help: "tests of docs/tests.tsv by name or by a pattern such as blk/*; status 14 when one fails, 6 when nothing but \
            skips is left",
    },
    Help { word: "echo=A.B.C.D", help: "a host that echoes TCP on port 7, for the test net/tcp" },
];
