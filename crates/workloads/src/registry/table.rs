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
    ConsoleTerminal "console/terminal" [] "the first terminal takes 16 characters; one that is not there is refused";
    ClockTimebase "clock/timebase" [] "the timebase never goes backwards, and a second of RTAS's clock is a second of it";
    ClockDate "clock/date" [] "RTAS's clock has a date that exists and does not go backwards";
    MemoryMarks "memory/marks" [] "2 MiB of heap keep a different word in each doubleword";
    MmuTextWrite "mmu/text-write" [] "a store to instructions raises a data storage interrupt at its address";
    MmuDataExecute "mmu/data-execute" [] "a jump into data raises an instruction storage interrupt";
    MmuStackExecute "mmu/stack-execute" [] "a jump into the stack raises an instruction storage interrupt";
    MmuPoolExecute "mmu/pool-execute" [Secure] "a jump into the shared pool raises an instruction storage interrupt";
    MmuNullRead "mmu/null-read" [] "a load near address 0 raises a data storage interrupt at its address";
    MmuGuardWrite "mmu/guard-write" [] "a store below the stack raises a data storage interrupt at its address";
    ExceptionTrap "exception/trap" [] "a trap raises a program interrupt that says so, and the next instruction runs";
    ExceptionAlignment "exception/alignment" [] "an unaligned load-and-reserve raises an alignment interrupt at its address";
    ExceptionUltracall "exception/ultracall" [Ordinary] "an ultracall that no ultravisor takes answers U_FUNCTION";
    HcallUnknown "hcall/unknown" [Ordinary] "a hypercall that there is not answers H_FUNCTION";
    HcallParameter "hcall/parameter" [] "H_GET_TCE of a table that there is not answers H_PARAMETER";
    RtasParameter "rtas/parameter" [] "ibm,int-off of an interrupt source that there is not answers a parameter error";
    IrqDevice "irq/device" [Interrupts] "a read that is slept for is ended by the disk's interrupt";
    IrqMessage "irq/message" [Messages] "a read that is slept for is ended by a message of the disk (MSI-X)";
    IrqLevel "irq/level" [Levels] "a read that is slept for is ended by the disk's level interrupt (LSI)";
    IrqIpi "irq/ipi" [SecondCpu] "a parked CPU is woken by H_IPI";
    IrqDecrementer "irq/decrementer" [] "a CPU that is given up comes back by its decrementer, not before its time";
    IrqSystemReset "irq/system-reset" [SecondCpu, Ordinary] "H_SIGNAL_SYS_RESET interrupts another CPU, which goes on where it was";
    SmpWork "smp/work" [SecondCpu] "each CPU computes what the CPU that booted computes, and has a number of its own";
    PciConfig "pci/config" [Device] "config space says what each device is, that it masters the bus, and keeps a byte that is written";
    PciAbsent "pci/absent" [Device] "config space of device number 31, which nothing has, reads as an error or as ones";
    TcePool "tce/pool" [PoolWindow] "H_GET_TCE reads each page of the pool where it was mapped, and nothing behind it";
    TceDirect "tce/direct" [DirectWindow] "H_GET_TCE reads pages of all memory where they were mapped";
    TceOnDemand "tce/on-demand" [OnDemandWindow] "H_GET_TCE reads a buffer's page while it is lent, and nothing once it is back";
    PoolSlots "pool/slots" [Secure, Device] "a buffer that is lent takes room of the pool, inside of what the device may reach, and gives it back";
    PoolBounce "pool/bounce" [Secure, Disk] "a read copies as many bytes out of the pool as it brings";
    SecureExposed "secure/exposed" [Secure] "H_GET_TCE of each entry of each window names the pool or nothing";
    BlkRead "blk/read" [Disk] "the first MiB read in large and in small requests has the same SHA-256";
    BlkId "blk/id" [Disk] "the disk answers to GET_ID with the same name as at boot";
    BlkLimits "blk/limits" [Disk] "the last block is read; what lies beyond or is no whole block is refused";
    BlkReadOnly "blk/read-only" [ReadOnlyDisk] "a write to a read-only disk is refused, and its first block reads as before";
    BlkWrite "blk/write" [ScratchDisk] "a pattern that is written is read back, and blocks beside a later write keep it";
    BlkFlush "blk/flush" [WriteCache] "a flush after a write is answered, and the write is there";
    BlkDiscard "blk/discard" [Discard] "blocks beside a discarded range keep their pattern, and what is then written into it is read back";
    BlkWriteZeroes "blk/write-zeroes" [WriteZeroes] "a range that is made zeros, with and without leave to unmap it, reads as zeros, and blocks beside it keep their pattern";
    BlkSegments "blk/segments" [SegmentLimit] "a request of as many segments as disk and driver allow reads what one of few does; one more is refused";
    BlkTopology "blk/topology" [Topology] "the best length of a request is no shorter than the least, and a read of each is carried out";
    BlkResize "blk/resize" [Resized] "a disk that was resized is read up to its new last block, and not beyond";
    BlkQueues "blk/queues" [SecondQueue] "each CPU reads the same bytes by a queue of its own";
    RngBytes "rng/bytes" [Random] "the random bytes of a virtio-rng are many, and not the same few values again and again";
    NetLink "net/link" [Card] "the card says that its link is up";
    NetUdp "net/udp" [Dhcp] "a DHCP server leases an address";
    NetArp "net/arp" [Gateway] "the gateway's hardware address is found, and none of an address that nobody has";
    NetIcmp "net/icmp" [Gateway] "the gateway answers a ping with the same bytes";
    NetMtu "net/mtu" [Gateway] "the gateway answers a ping that fills the largest packet of the link, in one packet";
    NetTcp "net/tcp" [Echo] "a host echoes 64 KiB over a TCP connection, and ends it";
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
    fn every_row_says_something_in_one_line_of_a_table() {
        for entry in TESTS {
            assert!(entry.shows.len() > 8 && !entry.shows.contains(['\t', '\n']), "{}", entry.name);
            assert_eq!(entry.test.entry().map(|found| found.name), Some(entry.name));
        }
    }
}
