//! What a test requires of a machine.

use core::fmt;

/// Something that a machine may lack. A test without its requirement is skipped, and its line names the requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A disk of any kind.
    Disk,
    /// A disk that may be overwritten.
    ScratchDisk,
    /// A disk that may be overwritten and has a write cache to flush.
    WriteCache,
    /// A disk that refuses writes.
    ReadOnlyDisk,
    /// A disk that may be overwritten and offers discard.
    Discard,
    /// A disk that may be overwritten and offers write zeroes.
    WriteZeroes,
    /// A disk whose capacity changed while the guest ran.
    Resized,
    /// A disk that reports the most segments of a request.
    SegmentLimit,
    /// A disk that reports its topology.
    Topology,
    /// A disk with a queue for a second CPU.
    SecondQueue,
    /// A network card.
    Card,
    /// A network card that asks for its address (`ip=dhcp`).
    Dhcp,
    /// A network with a gateway.
    Gateway,
    /// A host that echoes TCP (`echo=`).
    Echo,
    /// A disk or a card.
    Device,
    /// A disk whose completions come by interrupt.
    Interrupts,
    /// A disk whose completions come by message.
    Messages,
    /// A disk whose completions come by a level on a pin.
    Levels,
    /// A virtio-rng that was read at the start.
    Random,
    /// A CPU besides the boot CPU.
    SecondCpu,
    /// An ordinary guest.
    Ordinary,
    /// A secure guest.
    Secure,
    /// A DMA window that maps the pool.
    PoolWindow,
    /// A DMA window that maps all memory.
    DirectWindow,
    /// A DMA window that maps each buffer on demand.
    OnDemandWindow,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "a disk",
            Self::ScratchDisk => "a disk named scratch",
            Self::WriteCache => "a disk named scratch with a write cache",
            Self::ReadOnlyDisk => "a read-only disk",
            Self::Discard => "a disk named scratch that offers discard",
            Self::WriteZeroes => "a disk named scratch that offers write zeroes",
            Self::Resized => "a disk whose capacity changed while the guest ran",
            Self::SegmentLimit => "a disk that reports the most segments of a request",
            Self::Topology => "a disk that reports its topology",
            Self::SecondQueue => "a disk with two queues, and 2 CPUs",
            Self::Card => "a network card",
            Self::Dhcp => "a network card with ip=dhcp",
            Self::Gateway => "a network with a gateway",
            Self::Echo => "a network card, and a host that echoes TCP (echo=)",
            Self::Device => "a disk or a network card",
            Self::Interrupts => "a disk with interrupts",
            Self::Messages => "a disk with MSI-X interrupts",
            Self::Levels => "a disk with level interrupts",
            Self::Random => "a virtio-rng",
            Self::SecondCpu => "2 CPUs",
            Self::Ordinary => "an ordinary guest",
            Self::Secure => "a secure guest",
            Self::PoolWindow => "a host bridge whose window maps the pool",
            Self::DirectWindow => "a host bridge whose window maps all memory",
            Self::OnDemandWindow => "a host bridge whose window maps each buffer on demand",
        })
    }
}
