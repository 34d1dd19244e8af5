//! UV_ESM from H_SVM_INIT_START on: its requirements and its result.
//!
//! Source: open-power/ultravisor `svm/svm-fdt.c`, `svm/svm-rtas.c`, `svm/svm-esm.c`, `core/uvcall.c`.

use std::fmt;
use std::ops::Range;

use esm_blob::ReadError;
use esm_blob::archive::ArchiveError;

use super::call::Code;
use super::fdt::FdtError;
use super::image::KernelMeasurement;
use crate::Firmware;

pub(crate) mod blob;
mod paging;
mod reserve;
mod steps;
mod tree;

pub(super) use steps::Entry;
pub(super) use tree::{read_tree, servers};

/// Whether a guest of this firmware can never meet the requirement. VOF never writes `slof,rtas-size`; under a raw
/// `-bios` image nobody instantiates RTAS, so it has no place and no size. All others can be met: `bootargs` and
/// an initrd come from QEMU's command line under each firmware.
fn cannot_meet(firmware: Firmware, requirement: &Requirement) -> bool {
    let absent: &[&str] = match firmware {
        Firmware::Slof => &[],
        Firmware::Vof => &["slof,rtas-size"],
        Firmware::Bios => &["linux,rtas-base", "slof,rtas-size"],
    };
    matches!(requirement, Requirement::Rtas(property) if absent.contains(property))
}

/// Something that UV_ESM requires of the guest and its device tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// All of the tree lies in the VM's memory.
    TreeInRam,
    /// A valid header and well-formed structure, version 16 or 17.
    WellFormed(FdtError),
    /// The tree, rounded up to 64 KiB, and as much again fit the work area; holds the size.
    Size(u64),
    /// This property of the root; any number is accepted.
    RootCells(&'static str),
    /// `/memory@0` with a `reg` that starts at 0.
    Memory0,
    /// This property of `/rtas`.
    Rtas(&'static str),
    /// A node whose `device_type` is `cpu`.
    Cpus,
    /// Not more CPUs than the ultravisor has room for; holds the number.
    MaxCpus(u32),
    /// The header's boot CPU is below the number of CPUs.
    BootCpu {
        /// The header's.
        id: u32,
        /// Cores in `ibm,lrdr-capacity` times threads of the first CPU node.
        max: u32,
    },
    /// This property of `/chosen`.
    Chosen(&'static str),
    /// The RTAS area is not empty and lies in the VM's memory.
    RtasInRam,
    /// The initrd is not empty and lies in the VM's memory.
    InitrdInRam,
    /// The kernel lies in the VM's memory.
    KernelInRam,
    /// An ESM blob. Only the development build reports this: see [`Entry`].
    Blob,
    /// The initrd has an ESM blob in front of it.
    BlobFound(ArchiveError),
    /// The blob can be read, and the machine's key opens it.
    BlobRead(ReadError),
    /// The measured part of this name has the digest of the ESM blob.
    Digest(&'static str),
    /// This many bytes below the top of the real mode area that no entry of the memory map reserves.
    RoomForReservation(u64),
    /// Room in the tree for another entry of its memory map.
    RoomInTree,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TreeInRam => write!(f, "device tree inside the VM's memory"),
            Self::WellFormed(error) => write!(f, "well-formed device tree ({error})"),
            Self::Size(size) => write!(f, "device tree of at most 1 MiB (has {size} bytes)"),
            Self::RootCells(property) => write!(f, "/{property}"),
            Self::Memory0 => write!(f, "/memory@0 with reg from 0"),
            Self::Rtas(property) => write!(f, "/rtas/{property}"),
            Self::Cpus => write!(f, "a node with device_type cpu"),
            Self::MaxCpus(count) => write!(f, "at most {} CPUs (has {count})", tree::MAX_CPUS),
            Self::BootCpu { id, max } => write!(f, "boot CPU {id} below the number of CPUs, {max}"),
            Self::Chosen(property) => write!(f, "/chosen/{property}"),
            Self::RtasInRam => write!(f, "a non-empty RTAS area inside the VM's memory"),
            Self::InitrdInRam => write!(f, "a non-empty initrd inside the VM's memory"),
            Self::KernelInRam => write!(f, "a kernel inside the VM's memory"),
            Self::Blob => write!(f, "an ESM blob"),
            Self::BlobFound(error) => write!(f, "an ESM blob ({error})"),
            Self::BlobRead(error) => write!(f, "an ESM blob for this machine ({error})"),
            Self::Digest(what) => write!(f, "the blob's digest of the {what}"),
            Self::RoomForReservation(size) => write!(f, "{size:#x} bytes that are not reserved"),
            Self::RoomInTree => write!(f, "room in the tree for four reservations"),
        }
    }
}

/// How UV_ESM ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest is secure.
    Secure,
    /// Aborted: still a normal VM, with this in r3. H_PARAMETER before H_SVM_INIT_DONE; after it the hypervisor
    /// refuses H_SVM_INIT_ABORT with H_STATE.
    Aborted(Code),
    /// An assertion of the ultravisor failed, or it killed the VM: the run ends. Holds the reason.
    Dead(&'static str),
}

/// What UV_ESM saw and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EsmReport {
    /// First argument: where the kernel starts.
    pub kernel_base: u64,
    /// Second argument: where the tree is.
    pub fdt: u64,
    /// The kernel in memory against its file.
    pub kernel: KernelMeasurement,
    /// SHA-512 of /chosen/bootargs without its final byte, if there is one.
    pub bootargs_sha512: Option<String>,
    /// SHA-512 of the initrd, if there is one.
    pub initrd_sha512: Option<String>,
    /// SHA-512 of `slof,rtas-size` bytes from `linux,rtas-base`, if there are both.
    pub rtas_sha512: Option<String>,
    /// Requirements that are not met, but waived, because no such firmware can meet them.
    pub waived: Vec<Requirement>,
    /// Requirements that are not met, and that the development build only logs.
    pub warned: Vec<Requirement>,
    /// Requirements that are not met: UV_ESM was aborted for them.
    pub unmet: Vec<Requirement>,
    /// Whether there was an ESM blob that the machine's key opened.
    pub blob: bool,
    /// What was added to the tree's memory map, as address and size, in order.
    pub reservations: Vec<(u64, u64)>,
    /// Guest physical addresses of the frames that the ultravisor took.
    pub reserved: Vec<u64>,
    /// Frames whose content the guest keeps, as runs of guest frame numbers.
    pub kept: Vec<Range<u64>>,
    /// Address ranges of kernel, tree, initrd and RTAS text. All but the tree are measured.
    pub needed: Vec<Range<u64>>,
    /// Frames of the VM that lost their content.
    pub forgotten: u64,
    /// Bound of server numbers: that of a started CPU must be below.
    pub max_cpus: u32,
    /// How it ended.
    pub outcome: Outcome,
}

impl EsmReport {
    /// Whether the guest became secure.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.outcome == Outcome::Secure
    }
}

impl fmt::Display for EsmReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = match self.kernel.first_difference {
            None => "equal to the file".to_owned(),
            Some(address) => format!("DIFFERS from the file, first at {address:#x}"),
        };
        writeln!(f, "UV_ESM kernel base {:#x}, device tree {:#x}", self.kernel_base, self.fdt)?;
        if self.blob {
            writeln!(f, "  blob     opened with this machine's key")?;
        }
        writeln!(f, "  kernel   sha512 {} ({equal})", self.kernel.memory_sha512)?;
        writeln!(f, "  bootargs sha512 {}", self.bootargs_sha512.as_deref().unwrap_or("none"))?;
        writeln!(f, "  initrd   sha512 {}", self.initrd_sha512.as_deref().unwrap_or("none"))?;
        write!(f, "  rtas     sha512 {}", self.rtas_sha512.as_deref().unwrap_or("none"))?;
        if self.succeeded() {
            let kept: u64 = self.kept.iter().map(|run| run.end - run.start).sum();
            write!(f, "\n  memory   {} frames forgotten, {kept} kept", self.forgotten)?;
        }
        for requirement in &self.waived {
            write!(f, "\n  not met, cannot be under this firmware: {requirement}")?;
        }
        for requirement in &self.warned {
            write!(f, "\n  not met, and this build only warns, keeping all memory: {requirement}")?;
        }
        for requirement in &self.unmet {
            write!(f, "\n  refused, not met: {requirement}")?;
        }
        if let Outcome::Dead(reason) = self.outcome {
            write!(f, "\n  the ultravisor ended: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "esm/tests.rs"]
#[expect(clippy::single_range_in_vec_init, reason = "runs of frames are compared with lists of runs")]
pub(super) mod tests;
