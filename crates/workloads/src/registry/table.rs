//! Every test, in the order in which they run. docs/tests.tsv is generated from this table.

use super::Requirement::{
    self, Card, Device, Dhcp, DirectWindow, Discard, Disk, Echo, Gateway, Interrupts, Levels, Messages,
    OnDemandWindow, Ordinary, PoolWindow, Random, ReadOnlyDisk, Resized, ScratchDisk, SecondCpu, SecondQueue,
    Secure, SegmentLimit, Topology, WriteCache, WriteZeroes,
};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The test.
    pub test: Test,
    /// Its name: `area/what`.
    pub name: &'static str,
    /// What the test requires of a machine.
    pub requires: &'static [Requirement],
    /// What the test shows if it is ok.
    pub shows: &'static str,
}

/// The tests as a type, so that the compiler demands code for each, and their rows.
macro_rules! tests {
    ($count:literal; $($test:ident $name:literal [$($requires:ident),*] $shows:literal;)*) => {
        /// A test of the registry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Test {
            $(#[doc = $shows] $test,)*
        }

        /// Every test, in the order in which they run.
        pub const TESTS: [Entry; $count] = [
            $(Entry { test: Test::$test, name: $name, requires: &[$($requires),*], shows: $shows },)*
        ];
    };
}

tests! {
    50;
    ConsoleTerminal "console/terminal" [] "the first terminal accepts 16 characters; a terminal that does not exist is refused";
    ClockTimebase "clock/timebase" [] "the timebase never goes backwards, and a second of the timebase is a second of RTAS's clock";
    ClockDate "clock/date" [] "RTAS's clock has a valid date and does not go backwards";
    MemoryMarks "memory/marks" [] "each doubleword of 2 MiB of heap keeps a different value";
    MmuTextWrite "mmu/text-write" [] "a store to instructions raises a data storage interrupt at its address";
    MmuDataExecute "mmu/data-execute" [] "a jump into data raises an instruction storage interrupt";
    MmuStackExecute "mmu/stack-execute" [] "a jump into the stack raises an instruction storage interrupt";
    MmuPoolExecute "mmu/pool-execute" [Secure] "a jump into the shared pool raises an instruction storage interrupt";
    MmuNullRead "mmu/null-read" [] "a load near address 0 raises a data storage interrupt at its address";
    MmuGuardWrite "mmu/guard-write" [] "a store below the stack raises a data storage interrupt at its address";
    ExceptionTrap "exception/trap" [] "a trap raises a program interrupt with the cause \"trap\", and the next instruction runs";
    ExceptionAlignment "exception/alignment" [] "an unaligned load-and-reserve raises an alignment interrupt at its address";
    ExceptionUltracall "exception/ultracall" [Ordinary] "an ultracall without an ultravisor returns U_FUNCTION";
    HcallUnknown "hcall/unknown" [Ordinary] "a hypercall that does not exist returns H_FUNCTION";
    HcallParameter "hcall/parameter" [] "H_GET_TCE of a table that does not exist returns H_PARAMETER";
    RtasParameter "rtas/parameter" [] "ibm,int-off of an interrupt source that does not exist returns a parameter error";
    IrqDevice "irq/device" [Interrupts] "the disk's interrupt wakes a CPU that sleeps until its read completes";
    IrqMessage "irq/message" [Messages] "the disk's message interrupt (MSI-X) wakes a CPU that sleeps until its read completes";
    IrqLevel "irq/level" [Levels] "the disk's level interrupt (LSI) wakes a CPU that sleeps until its read completes";
    IrqIpi "irq/ipi" [SecondCpu] "H_IPI wakes a parked CPU";
    IrqDecrementer "irq/decrementer" [] "the decrementer wakes a ceded CPU, and not too early";
    IrqSystemReset "irq/system-reset" [SecondCpu, Ordinary] "H_SIGNAL_SYS_RESET interrupts another CPU, which then continues its work";
    SmpWork "smp/work" [SecondCpu] "each CPU computes the same result as the boot CPU, and has a different number";
    PciConfig "pci/config" [Device] "config space of each device has the right ids, has bus mastering on, and keeps a byte that is written";
    PciAbsent "pci/absent" [Device] "config space of device 31, which does not exist, reads as an error or as all ones";
    TcePool "tce/pool" [PoolWindow] "H_GET_TCE returns each page of the pool at the address where it was mapped, and no page after the last one";
    TceDirect "tce/direct" [DirectWindow] "H_GET_TCE returns pages of all memory at the addresses where they were mapped";
    TceOnDemand "tce/on-demand" [OnDemandWindow] "H_GET_TCE returns a buffer's page while the buffer is mapped, and nothing afterwards";
    PoolSlots "pool/slots" [Secure, Device] "a mapped buffer takes room in the pool, at addresses that the device may access, and frees it afterwards";
    PoolBounce "pool/bounce" [Secure, Disk] "a read copies as many bytes from the pool as it reads";
    SecureExposed "secure/exposed" [Secure] "each entry of each window, read by H_GET_TCE, maps the pool or nothing";
    BlkRead "blk/read" [Disk] "the first MiB has the same SHA-256 when it is read in large and in small requests";
    BlkId "blk/id" [Disk] "the disk answers GET_ID with the same name as at boot";
    BlkLimits "blk/limits" [Disk] "the last block can be read; a read beyond it, and a read of part of a block, are refused";
    BlkReadOnly "blk/read-only" [ReadOnlyDisk] "a write to a read-only disk is refused and does not change its first block";
    BlkWrite "blk/write" [ScratchDisk] "a written pattern is read back, and a later write does not change the blocks next to it";
    BlkFlush "blk/flush" [WriteCache] "a flush after a write succeeds, and the written data is read back";
    BlkDiscard "blk/discard" [Discard] "blocks next to a discarded range keep their pattern, and data that is then written to the range is read back";
    BlkWriteZeroes "blk/write-zeroes" [WriteZeroes] "a range that is zeroed, with and without permission to unmap it, reads as zeros, and blocks next to it keep their pattern";
    BlkSegments "blk/segments" [SegmentLimit] "a request with the most segments that disk and driver allow reads the same data as one with few segments; one more segment is refused";
    BlkTopology "blk/topology" [Topology] "the best length of a request is not below the shortest, and a read of each of these lengths succeeds";
    BlkResize "blk/resize" [Resized] "a resized disk can be read up to its new last block, and not beyond";
    BlkQueues "blk/queues" [SecondQueue] "each queue of a disk reads the same bytes";
    RngBytes "rng/bytes" [Random] "a virtio-rng gives enough random bytes, and they are not a few values repeated";
    NetLink "net/link" [Card] "the card reports that its link is up";
    NetUdp "net/udp" [Dhcp] "a DHCP server leases an address";
    NetArp "net/arp" [Gateway] "ARP finds the gateway's hardware address, and none for an address that no host has";
    NetIcmp "net/icmp" [Gateway] "the gateway answers a ping with the same bytes";
    NetMtu "net/mtu" [Gateway] "the gateway answers a ping of the largest packet size, in one packet";
    NetTcp "net/tcp" [Echo] "a host echoes 64 KiB over a TCP connection and closes it";
}

impl Test {
    /// The row of this test.
    #[must_use]
    pub fn entry(self) -> Option<&'static Entry> {
        TESTS.iter().find(|entry| entry.test == self)
    }
}

#[cfg(test)]
mod tests {
    use super::TESTS;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_of_the_form_that_patterns_expect() {
        let names: BTreeSet<&str> = TESTS.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), TESTS.len());
        for name in names {
            let parts: std::vec::Vec<&str> = name.split('/').collect();
            let plain = |part: &&str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_lowercase() || b"-0123456789".contains(&byte))
            };
            assert!(parts.len() == 2 && parts.iter().all(plain), "{name}");
        }
    }

    #[test]
    fn every_row_has_a_text_of_one_line() {
        for entry in TESTS {
            assert!(entry.shows.len() > 8 && !entry.shows.contains(['\t', '\n']), "{}", entry.name);
            assert_eq!(entry.test.entry().map(|found| found.name), Some(entry.name));
        }
    }
}
