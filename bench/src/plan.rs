//! The systems, disks and works of the measurements.

/// A guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// Postern as a secure guest: every byte through the shared pool, ACCESS_PLATFORM on.
    PosternBounced,
    /// Postern as an ordinary guest without ACCESS_PLATFORM: devices use its buffers.
    PosternDirect,
    /// Linux with `swiotlb=force` and ACCESS_PLATFORM.
    LinuxBounced,
    /// Linux as a secure guest: another kernel than those two, the one of `make linux`.
    LinuxSecure,
    /// Linux without either.
    LinuxDirect,
    /// The disk driver of the crate virtio-drivers in Postern's kernel, as a secure guest: every byte through the
    /// same pool. The crate does not accept ACCESS_PLATFORM.
    VirtioDrivers,
    /// No separate guest: Postern bounced copies as many bytes from private to private memory as each work reads or writes.
    /// No bounced read can be faster.
    PrivateCopy,
}

impl System {
    /// All systems, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::PosternBounced,
        Self::PosternDirect,
        Self::LinuxBounced,
        Self::LinuxDirect,
        Self::VirtioDrivers,
        Self::PrivateCopy,
        Self::LinuxSecure,
    ];

    /// A table's heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PosternBounced => "Postern bounced",
            Self::PosternDirect => "Postern direct",
            Self::LinuxBounced => "Linux bounced",
            Self::LinuxSecure => "Linux secure",
            Self::LinuxDirect => "Linux direct",
            Self::VirtioDrivers => "virtio-drivers bounced",
            Self::PrivateCopy => "private copy",
        }
    }

    /// Whether it is a Linux.
    pub const fn is_linux(self) -> bool {
        matches!(self, Self::LinuxBounced | Self::LinuxSecure | Self::LinuxDirect)
    }

    /// Whether data goes through bounce buffers.
    pub const fn is_bounced(self) -> bool {
        matches!(self, Self::PosternBounced | Self::LinuxBounced | Self::LinuxSecure | Self::VirtioDrivers)
    }

    /// Whether devices offer ACCESS_PLATFORM, and go through TCEs.
    pub const fn is_translated(self) -> bool {
        matches!(self, Self::PosternBounced | Self::LinuxBounced | Self::LinuxSecure)
    }

    /// Whether it is a secure guest.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::PosternBounced | Self::LinuxSecure | Self::VirtioDrivers)
    }
}

/// The back end of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// QEMU's `null-co`: it takes no time, so only the guest is measured.
    Null,
    /// A raw file with known content, in the host's page cache.
    Raw,
    /// `null-co`, served by a thread of its own instead of QEMU's main loop.
    Threaded,
}

impl Backend {
    /// Its name in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null-co",
            Self::Raw => "raw file",
            Self::Threaded => "null-co with an iothread",
        }
    }
}

/// One kind of disk request.
#[derive(Clone, Copy, Debug)]
pub struct DiskWork {
    /// Its name in the tables.
    pub name: &'static str,
    /// Its form in `bench=`, without the time.
    pub spec: &'static str,
    /// Whether bytes rather than requests are counted.
    pub in_bytes: bool,
}

/// All disk work.
pub const DISK: [DiskWork; 7] = [
    DiskWork { name: "4 KiB random read, depth 1", spec: "read:4096:1:random", in_bytes: false },
    DiskWork { name: "4 KiB random read, depth 32", spec: "read:4096:32:random", in_bytes: false },
    DiskWork { name: "4 KiB random write, depth 32", spec: "write:4096:32:random", in_bytes: false },
    DiskWork { name: "64 KiB read, depth 1", spec: "read:65536:1:seq", in_bytes: true },
    DiskWork { name: "64 KiB read, depth 8", spec: "read:65536:8:seq", in_bytes: true },
    DiskWork { name: "1 MiB read, depth 1", spec: "read:1048576:1:seq", in_bytes: true },
    DiskWork { name: "1 MiB read, depth 8", spec: "read:1048576:8:seq", in_bytes: true },
];

/// How often the one guest with [`Backend::Threaded`] does each of the first two works.
pub const REPEATED: usize = 5;

/// Readable name of the work `OPERATION:BYTES:DEPTH:ORDER` of `bench=`.
pub fn said(spec: &str) -> String {
    let [operation, bytes, depth, order] = spec.split(':').collect::<Vec<_>>()[..] else {
        return spec.to_owned();
    };
    let size = match bytes.parse::<u64>() {
        Ok(bytes) if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        Ok(bytes) if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    };
    let random = if order == "random" { "random " } else { "" };
    format!("{size} {random}{operation}, depth {depth}")
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Requests, on each kind of disk, and the start by VOF.
    Disk,
    /// Echo.
    Network,
    /// The start by SLOF.
    Start,
    /// Guest instructions.
    Instructions,
    /// Only Postern, by depth, size, pool and CPUs.
    Scaling,
}

impl Group {
    /// The group of that name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "disk" => Some(Self::Disk),
            "network" => Some(Self::Network),
            "start" => Some(Self::Start),
            "instructions" => Some(Self::Instructions),
            "scaling" => Some(Self::Scaling),
            _ => None,
        }
    }
}

/// How thorough the measurements are.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds; in each, every system runs once.
    pub rounds: usize,
    /// Milliseconds of each piece of disk work.
    pub milliseconds: u32,
    /// Seconds of each piece of network work.
    pub network_seconds: f64,
}

impl Effort {
    /// `QUICK=1`
    pub const QUICK: Self = Self { rounds: 3, milliseconds: 250, network_seconds: 0.5 };
    /// Without `QUICK=1`.
    pub const FULL: Self = Self { rounds: 5, milliseconds: 500, network_seconds: 1.0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_called_by_its_size_order_and_depth() {
        for work in DISK {
            assert_eq!(said(work.spec), work.name);
        }
        assert_eq!(said("write:512:2:seq"), "512 bytes write, depth 2");
    }
}
