//! What UV_ESM reads in a guest's device tree.

use std::io;

use super::Requirement;
use super::reserve::RMO_LIMIT;
use crate::fdt::{Fdt, Node, claimed_size};
use crate::frames::FRAME_SIZE;
use crate::ram::GuestRam;

/// The ultravisor edits a tree in 2 MiB, which must hold it twice.
const WORK_AREA: u64 = 2 << 20;
/// CPUs the ultravisor has room for.
pub(super) const MAX_CPUS: u32 = 4096;

/// RTAS services that must have a token (`ibm,nmi-register` may).
pub(super) const RTAS_TOKENS: [&str; 12] = [
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

/// Reads a guest's tree at an address.
///
/// # Errors
/// Outside: guest RAM cannot be read. Inside: what the tree lacks to be one.
pub(crate) fn read_tree(ram: &GuestRam, address: u64) -> io::Result<Result<Fdt, Requirement>> {
    let Some(header) = ram.read(address, 8)? else { return Ok(Err(Requirement::TreeInRam)) };
    let size = match claimed_size(&header) {
        Ok(size) => u64::from(size),
        Err(error) => return Ok(Err(Requirement::WellFormed(error))),
    };
    if size.next_multiple_of(FRAME_SIZE) * 2 > WORK_AREA {
        return Ok(Err(Requirement::Size(size)));
    }
    let Some(bytes) = ram.read(address, size)? else { return Ok(Err(Requirement::TreeInRam)) };
    Ok(Fdt::parse(&bytes).map_err(Requirement::WellFormed))
}

/// End of the real mode area: the size of `/memory@0`, and never above 768 MiB.
pub(super) fn rmo_top(fdt: &Fdt) -> Option<u64> {
    let reg = fdt.node("/memory@0")?.property("reg")?;
    let [base, size] = [reg.get(..8)?, reg.get(8..16)?];
    let [base, size] =
        [base, size].map(|half| half.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    (base == 0).then_some(size.min(RMO_LIMIT))
}

/// A number of two cells, or of one if the property is shorter; without any cell the ultravisor's assertion fails.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    match value.first_chunk::<8>() {
        Some(cells) => Some(u64::from_be_bytes(*cells)),
        None => Some(u64::from(u32::from_be_bytes(*value.first_chunk()?))),
    }
}

/// Why there is no number of CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoCpus {
    /// Something is missing.
    Unmet(Requirement),
    /// `ibm,lrdr-capacity` is too short.
    Asserts,
}

/// The number of CPUs that the ultravisor computes: the cores in `ibm,lrdr-capacity` (after an address and a size of the
/// root's cells), times the threads of the first node whose `device_type` is `cpu`.
pub(super) fn max_cpus(fdt: &Fdt) -> Result<u32, NoCpus> {
    let cells = |name| {
        let value = fdt.root.property(name).ok_or(NoCpus::Unmet(Requirement::RootCells(name)))?;
        value.first_chunk().map(|cell| u32::from_be_bytes(*cell)).ok_or(NoCpus::Asserts)
    };
    let before = cells("#address-cells")?.wrapping_add(cells("#size-cells")?);
    let capacity = fdt.node("/rtas").and_then(|rtas| rtas.property("ibm,lrdr-capacity"));
    let capacity = capacity.ok_or(NoCpus::Unmet(Requirement::Rtas("ibm,lrdr-capacity")))?;
    let cores = usize::try_from(before).ok().and_then(|before| capacity.get(before.checked_mul(4)?..));
    let cores = cores.and_then(<[u8]>::first_chunk).map(|cell| u32::from_be_bytes(*cell));
    let cores = cores.ok_or(NoCpus::Asserts)?;
    let cpu = fdt.first_of_type(b"cpu").ok_or(NoCpus::Unmet(Requirement::Cpus))?;
    // Without the property there is one thread.
    let bytes = cpu.property("ibm,ppc-interrupt-server#s").map_or(4, <[u8]>::len);
    let max = cores.wrapping_mul(u32::try_from(bytes).unwrap_or(u32::MAX)) / 4;
    if max > MAX_CPUS { Err(NoCpus::Unmet(Requirement::MaxCpus(max))) } else { Ok(max) }
}

/// Interrupt server numbers of all threads of all CPUs.
pub(crate) fn servers(fdt: &Fdt) -> Vec<u32> {
    let Some(cpus) = fdt.node("/cpus") else { return Vec::new() };
    let is_cpu = |node: &&Node| node.text("device_type") == Some(b"cpu");
    let servers = |node: &Node| {
        let cells = node.property("ibm,ppc-interrupt-server#s").unwrap_or_default().as_chunks::<4>().0;
        cells.iter().map(|cell| u32::from_be_bytes(*cell)).collect::<Vec<_>>()
    };
    cpus.children.iter().filter(is_cpu).flat_map(servers).collect()
}
