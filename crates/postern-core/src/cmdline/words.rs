//! The words of the command line with their help. `make lists` generates the text of `make help` from these lists.

use super::Step;

/// A word with its help.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// The step's name, or the option with the form of its value.
    pub word: &'static str,
    /// A short description.
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
    Demo "demo" "reads the first MiB of each disk, gets an address for each card and pings the gateway";
    BlkDigest "blk-digest" "SHA-256 of each whole disk, except disks to which another step of run= may write";
    BlkPattern "blk-pattern" "writes a seeded pattern to the whole scratch disk and reads it back";
    BlkSmp "blk-smp" "reads every data disk and overwrites every scratch disk; all CPUs work at the same time, each on a part of the disk";
    NetServe "net-serve" "answers on the first card that gets an address: ARP, ICMP echo, UDP and TCP echo on port 7, and a \
        status page on port 80; ends when q is typed or after serve= seconds";
    Monitor "monitor" "runs commands that are typed on the console; the command help lists them; meanwhile answers on the first card, \
        like net-serve; ends at off, at Ctrl-D or after serve= seconds";
    Map "map" "prints the memory map: each run of pages with its rights";
}

words! {
    /// Every option of the product. An image may have more; any other option is unknown.
    options OPTIONS, OPTION_HELP: [14]
    "svm" "on|off|emulated" "on: call UV_ESM to become a secure guest; off: stay an ordinary guest; emulated: call an emulated \
        ultravisor, where the firmware cannot publish /ibm,ultravisor; default: UV_ESM if the tree has that node";
    "pool" "8M" "size of the shared pool, a multiple of 64 KiB up to 1G. If a host bridge has no dynamic windows, its \
        devices with ACCESS_PLATFORM need a pool that is at least one frame smaller than its DMA window";
    "loglevel" "info" "off, error, warn, info, debug or trace";
    "console" "hvc|uart" "uart: the console is also on a 16550 (pci-serial); without one, status 6";
    "run" "STEP,STEP,..." "what to do after boot, in order; default demo";
    "ip" "dhcp|A.B.C.D/len" "the card's address";
    "gw" "A.B.C.D" "the gateway, with a static ip=";
    "irq" "auto|lsi|poll" "interrupts that devices may use: the best that each has, level interrupts, or none";
    "report" "auto|full" "full: crash reports of an emulated secure VM also show registers, stack and log";
    "seed" "1" "seed of the pattern of blk-pattern and blk-smp; in the test image also of soak, blk-discard, bench-blk, bench-smp \
        and tests";
    "serve" "SECONDS" "how long net-serve and monitor run; in the test image also net-bench and soak";
    "http" "on|off" "whether net-serve and monitor have a status page on port 80; default: on in an ordinary guest, off in a secure one";
    "device-timeout" "SECONDS" "time limit of a request, after which the device counts as broken; default: 30 for a disk, \
        60 for a card";
    "secret" "NAME" "a file of the ESM blob; the guest reads it once, before it starts devices, and clears it after the \
        work; status 4 if the ultravisor does not return it";
}

words! {
    /// The steps that only the test image has.
    steps TEST_STEPS, TEST_STEP_HELP: [17]
    "soak" "random work on all devices, with resets now and then for serve= seconds; then work without resets until q is \
        typed or two minutes have passed; compares all data and frees all memory";
    "irq-cost" "measures 4 KiB reads of the first disk, with polling and with interrupts";
    "net-bench" "pings the gateway, then net-serve; also UDP and TCP in one direction: port 9 discards, port 19 sends";
    "blk-discard" "writes a seeded pattern to the whole scratch disk, discards the first quarter, zeroes the next two, reads all \
        of it back";
    "bench-blk" "measures the work of bench= on the scratch disk, which keeps its content";
    "bench-smp" "the same on all queues of the scratch disk at the same time, one CPU for each; the figures are sums";
    "bench-pool" "measures the time to take and free a 4 KiB slot of a pool that is 0, 25, 50, 75 and 95 % full";
    "bench-copy" "measures copies from private to private memory, with the sizes and the number of buffers of bench=";
    "memory" "takes all memory, marks it, checks the marks and frees it";
    "tests" "runs the tests of test= and prints TAP 13; the default step if there is a test=; tests write only to the \
        scratch disk";
    "breach-text-write" "writes to instructions; this step and the other breaches end with status 8";
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
        help: "work for bench-blk and bench-smp: read|write:SIZE:DEPTH:seq|random:MILLISECONDS",
    },
    Help {
        word: "canary=N",
        help: "put secrets of this seed into private memory, for a search from outside",
    },
    Help {
        word: "test=NAME,...|all",
        help: "tests of docs/tests.tsv, by name or by a pattern such as blk/*; status 14 if one fails, 6 if all are \
            skipped",
    },
    Help { word: "echo=A.B.C.D", help: "a host that echoes TCP on port 7, for the test net/tcp" },
];
