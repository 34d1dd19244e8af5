//! UV_ESM from H_SVM_INIT_START on: what the tree must hold, what is measured, what is added to the tree.
//!
//! Source: open-power/ultravisor `svm/svm-fdt.c`, `svm/svm-rtas.c`, `svm/svm-esm.c`.

use std::fmt;
use std::io;

use super::fdt::{Fdt, FdtError, Node, claimed_size};
use super::frames::FRAME_SIZE;
use super::image::{KernelImage, KernelMeasurement, sha512};
use super::ram::GuestRam;
use crate::variable::Firmware;

/// Frames that the ultravisor takes: six for RTAS, two for its thread state, two for the ESM blob.
pub const RESERVED_FRAMES: usize = 10;
/// A tree is worked on in 2 MiB, and needs twice its size there.
const WORK_AREA: u64 = 2 << 20;
/// The real mode area never reaches above this.
const RMO_LIMIT: u64 = 768 << 20;
/// CPU ids the ultravisor has room for.
const MAX_CPUS: u32 = 4096;

/// RTAS services that must have a token (`ibm,nmi-register` may).
const RTAS_TOKENS: [&str; 12] = [
    "stop-self",
    "check-exception",
    "event-scan",
    "ibm,configure-connector",
    "ibm,get-system-parameter",
    "ibm,set-system-parameter",
    "ibm,slot-error-detail",
    "ibm,os-term",
    "nvram-fetch",
    "nvram-store",
    "power-off",
    "start-cpu",
];

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

/// Something that UV_ESM asks of the device tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// All of the tree lies in RAM.
    TreeInRam,
    /// A valid header and well-formed structure.
    WellFormed(FdtError),
    /// Twice the tree's size fits the work area; holds the size.
    Size(u64),
    /// The root's `#address-cells` and `#size-cells` are 2.
    RootCells,
    /// `/memory@0` with a `reg` that starts at 0.
    Memory0,
    /// This property of `/rtas`.
    Rtas(&'static str),
    /// A CPU node with `ibm,ppc-interrupt-server#s`.
    Cpus,
    /// The header's boot CPU is one of them; holds its id.
    BootCpu(u32),
    /// This property of `/chosen`.
    Chosen(&'static str),
    /// The initrd is not empty and lies in RAM.
    InitrdInRam,
    /// Ten frames below the top of the real mode area are not reserved yet.
    RoomForReservations,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TreeInRam => write!(f, "device tree inside RAM"),
            Self::WellFormed(error) => write!(f, "well-formed device tree ({error})"),
            Self::Size(size) => write!(f, "device tree of at most 1 MiB (has {size} bytes)"),
            Self::RootCells => write!(f, "#address-cells = #size-cells = 2 at the root"),
            Self::Memory0 => write!(f, "/memory@0 with reg from 0"),
            Self::Rtas(property) => write!(f, "/rtas/{property}"),
            Self::Cpus => write!(f, "a CPU with ibm,ppc-interrupt-server#s"),
            Self::BootCpu(id) => write!(f, "boot CPU {id} among the CPUs"),
            Self::Chosen(property) => write!(f, "/chosen/{property}"),
            Self::InitrdInRam => write!(f, "a non-empty initrd inside RAM"),
            Self::RoomForReservations => write!(f, "room for {RESERVED_FRAMES} reserved frames"),
        }
    }
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
    /// SHA-512 of /chosen/bootargs without NUL, if there is one.
    pub bootargs_sha512: Option<String>,
    /// SHA-512 of the initrd, if there is one.
    pub initrd_sha512: Option<String>,
    /// Requirements that are not met and that no such firmware can meet: let pass.
    pub waived: Vec<Requirement>,
    /// Requirements that are not met: UV_ESM was refused for them.
    pub unmet: Vec<Requirement>,
    /// Guest physical addresses of the frames that the ultravisor took.
    pub reserved: Vec<u64>,
}

impl EsmReport {
    /// Whether the guest became secure.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.unmet.is_empty() && !self.reserved.is_empty()
    }
}

impl fmt::Display for EsmReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = match self.kernel.first_difference {
            None => "equal to the file".to_owned(),
            Some(address) => format!("DIFFERS from the file, first at {address:#x}"),
        };
        writeln!(f, "UV_ESM kernel base {:#x}, device tree {:#x}", self.kernel_base, self.fdt)?;
        writeln!(f, "  kernel   sha512 {} ({equal})", self.kernel.memory_sha512)?;
        writeln!(f, "  bootargs sha512 {}", self.bootargs_sha512.as_deref().unwrap_or("none"))?;
        write!(f, "  initrd   sha512 {}", self.initrd_sha512.as_deref().unwrap_or("none"))?;
        for requirement in &self.waived {
            write!(f, "\n  not met, cannot be under this firmware: {requirement}")?;
        }
        for requirement in &self.unmet {
            write!(f, "\n  refused, not met: {requirement}")?;
        }
        Ok(())
    }
}

/// Everything up to H_SVM_INIT_DONE: checks, measures and, if nothing is missing, writes the new tree.
///
/// # Errors
/// Guest RAM cannot be accessed.
pub(super) fn enter(
    ram: &GuestRam,
    image: &KernelImage,
    firmware: Firmware,
    kernel_base: u64,
    fdt_address: u64,
) -> io::Result<EsmReport> {
    let mut report = EsmReport {
        kernel_base,
        fdt: fdt_address,
        kernel: image.measure(ram, kernel_base)?,
        bootargs_sha512: None,
        initrd_sha512: None,
        waived: Vec::new(),
        unmet: Vec::new(),
        reserved: Vec::new(),
    };
    let mut fdt = match read_tree(ram, fdt_address)? {
        Ok(fdt) => fdt,
        Err(requirement) => {
            report.unmet.push(requirement);
            return Ok(report);
        }
    };
    let missing = unmet(&fdt);
    (report.waived, report.unmet) = missing.into_iter().partition(|missing| cannot_meet(firmware, missing));

    if let Some(chosen) = fdt.node("/chosen") {
        report.bootargs_sha512 = chosen.text("bootargs").map(sha512);
        if let (Some(start), Some(end)) =
            (chosen.number("linux,initrd-start"), chosen.number("linux,initrd-end"))
        {
            match end.checked_sub(start).filter(|size| *size > 0).map(|size| ram.read(start, size)) {
                Some(initrd) => match initrd? {
                    Some(initrd) => report.initrd_sha512 = Some(sha512(&initrd)),
                    None => report.unmet.push(Requirement::InitrdInRam),
                },
                None => report.unmet.push(Requirement::InitrdInRam),
            }
        }
    }

    let frames = rmo_top(&fdt).and_then(|top| free_frames(&mut fdt.reserved, top));
    if frames.is_none() && report.unmet.is_empty() {
        report.unmet.push(Requirement::RoomForReservations);
    }
    if report.unmet.is_empty() {
        report.reserved = frames.unwrap_or_default();
        // The new tree is packed: it may still end above the old one, as on the real machine.
        if !ram.write(fdt_address, &fdt.pack())? {
            report.reserved.clear();
            report.unmet.push(Requirement::TreeInRam);
        }
    }
    Ok(report)
}

/// Reads a guest's tree at an address.
///
/// # Errors
/// Outside: guest RAM cannot be read. Inside: what the tree lacks to be one.
pub(super) fn read_tree(ram: &GuestRam, address: u64) -> io::Result<Result<Fdt, Requirement>> {
    let Some(header) = ram.read(address, 8)? else { return Ok(Err(Requirement::TreeInRam)) };
    let size = match claimed_size(&header) {
        Ok(size) => u64::from(size),
        Err(error) => return Ok(Err(Requirement::WellFormed(error))),
    };
    if size * 2 > WORK_AREA {
        return Ok(Err(Requirement::Size(size)));
    }
    let Some(bytes) = ram.read(address, size)? else { return Ok(Err(Requirement::TreeInRam)) };
    Ok(Fdt::parse(&bytes).map_err(Requirement::WellFormed))
}

/// Everything that a readable tree does not have.
fn unmet(fdt: &Fdt) -> Vec<Requirement> {
    let mut unmet = Vec::new();
    let mut require = |met: bool, requirement: Requirement| {
        if !met {
            unmet.push(requirement);
        }
    };
    let cells = ["#address-cells", "#size-cells"];
    require(cells.iter().all(|cells| fdt.root.cell(cells) == Some(2)), Requirement::RootCells);
    require(rmo_top(fdt).is_some(), Requirement::Memory0);

    let rtas = fdt.node("/rtas");
    let place = ["linux,rtas-base", "rtas-size", "slof,rtas-size", "ibm,lrdr-capacity"];
    for property in place.into_iter().chain(RTAS_TOKENS) {
        let met = rtas.is_some_and(|rtas| rtas.property(property).is_some());
        require(met, Requirement::Rtas(property));
    }

    let cpus = cpu_ids(fdt);
    require(!cpus.is_empty(), Requirement::Cpus);
    let boot = fdt.boot_cpu;
    require(boot < MAX_CPUS && cpus.contains(&boot), Requirement::BootCpu(boot));

    let chosen = fdt.node("/chosen");
    for property in ["bootargs", "linux,initrd-start", "linux,initrd-end"] {
        let met = chosen.is_some_and(|chosen| chosen.property(property).is_some());
        require(met, Requirement::Chosen(property));
    }
    unmet
}

fn cpu_ids(fdt: &Fdt) -> Vec<u32> {
    let Some(cpus) = fdt.node("/cpus") else { return Vec::new() };
    let is_cpu = |node: &&Node| node.text("device_type") == Some(b"cpu");
    let servers = |node: &Node| {
        let cells = node.property("ibm,ppc-interrupt-server#s").unwrap_or_default().chunks_exact(4);
        cells.map(|cell| cell.iter().fold(0, |id, byte| id << 8 | u32::from(*byte))).collect::<Vec<_>>()
    };
    cpus.children.iter().filter(is_cpu).flat_map(servers).collect()
}

/// End of the real mode area: the size of `/memory@0`, and never above 768 MiB.
fn rmo_top(fdt: &Fdt) -> Option<u64> {
    let reg = fdt.node("/memory@0")?.property("reg")?;
    let [base, size] = [reg.get(..8)?, reg.get(8..16)?];
    let [base, size] =
        [base, size].map(|half| half.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    (base == 0).then_some(size.min(RMO_LIMIT))
}

/// Takes ten frames from `top` down, each the highest that overlaps no reservation, and adds them to the list.
/// `None`, and the list is of no more use, if there is no room.
fn free_frames(reserved: &mut Vec<(u64, u64)>, top: u64) -> Option<Vec<u64>> {
    let mut frames = Vec::with_capacity(RESERVED_FRAMES);
    let align_down = |address: u64| address & !(FRAME_SIZE - 1);
    let mut candidate = align_down(top.checked_sub(FRAME_SIZE)?);
    while frames.len() < RESERVED_FRAMES {
        let overlap = reserved.iter().find(|(start, size)| {
            *size > 0 && *start < candidate + FRAME_SIZE && start.saturating_add(*size) > candidate
        });
        match overlap {
            Some((start, _)) => candidate = align_down(start.checked_sub(FRAME_SIZE)?),
            None => {
                reserved.push((candidate, FRAME_SIZE));
                frames.push(candidate);
            }
        }
    }
    Some(frames)
}

#[cfg(test)]
#[path = "esm/tests.rs"]
pub(super) mod tests;
