//! Guest memory, and the parts of it that the tree reserves.

use super::blocks;
use super::guard::Tree;
use super::machine_error::MachineError;
use super::read::{self, Cells};
use super::warnings::{Fault, Warnings};
use alloc::vec::Vec;
use papr::addr::{Gpa, GpaRange};

/// One past the highest address that a radix-mapped guest can have (Power ISA 3.0, 52-bit effective).
const ADDRESS_END: u64 = 1 << 52;
/// Most regions of memory that are used; more are ignored.
const MAX_REGIONS: usize = 128;
/// Most reservations. None may be ignored, so a tree with more is refused.
const MAX_RESERVATIONS: usize = 512;

/// The memory that the tree describes: sorted, disjoint, with adjacent regions merged. Of two overlapping regions the
/// first counts.
pub(super) fn regions(tree: &Tree<'_>, warnings: &mut Warnings) -> Result<Vec<GpaRange>, MachineError> {
    let root = read::root(tree).ok_or(MachineError::NoMemory)?;
    let cells = Cells::below(root);
    let mut regions: Vec<GpaRange> = Vec::new();
    let mut add = |name: &str, start, len, warnings: &mut Warnings| match region(start, len) {
        Err(fault) => warnings.add(name, fault),
        Ok(range) if regions.iter().any(|known| known.overlaps(&range)) => {
            warnings.add(name, Fault::Overlaps { start, len });
        }
        Ok(range) if regions.len() < MAX_REGIONS => regions.push(range),
        Ok(_) => warnings.add(name, Fault::Malformed("number of regions")),
    };
    for node in root.children().filter(|node| read::text(*node, "device_type") == Some("memory")) {
        let Some(list) = read::bytes(node, "reg").and_then(|reg| cells.ranges(reg)) else {
            warnings.add(node.name, Fault::Malformed("reg"));
            continue;
        };
        for (start, len) in list {
            add(node.name, start, len, warnings);
        }
    }
    if let Some(node) = read::node_at(tree, blocks::NODE) {
        let read = blocks::assigned(node, |start, len| add(node.name, start, len, warnings));
        if let Err(fault) = read {
            warnings.add(node.name, fault);
        }
    }
    regions.sort_unstable_by_key(|region| region.start);
    let merged = merge(&regions);
    match merged.first() {
        None => Err(MachineError::NoMemory),
        Some(first) if first.start != Gpa(0) => Err(MachineError::NoMemoryAtZero(first.start.0)),
        Some(_) => Ok(merged),
    }
}

fn region(start: u64, len: u64) -> Result<GpaRange, Fault> {
    if len == 0 {
        return Err(Fault::Empty);
    }
    GpaRange::new(Gpa(start), len)
        .filter(|range| range.end().0 <= ADDRESS_END)
        .ok_or(Fault::Wraps { start, len })
}

fn merge(sorted: &[GpaRange]) -> Vec<GpaRange> {
    let mut merged: Vec<GpaRange> = Vec::with_capacity(sorted.len());
    for region in sorted {
        match merged.last_mut() {
            Some(last) if last.end() == region.start => last.len = last.len.saturating_add(region.len),
            _ => merged.push(*region),
        }
    }
    merged
}

/// Memory that must not be used: the memory reservation block and `/reserved-memory`. A range that wraps ends at the
/// end of memory.
pub(super) fn reservations(tree: &Tree<'_>, warnings: &mut Warnings) -> Result<Vec<GpaRange>, MachineError> {
    let mut reserved = Vec::new();
    let mut add = |node: &str, start: u64, len: u64, warnings: &mut Warnings| {
        if reserved.len() >= MAX_RESERVATIONS {
            return Err(MachineError::TooManyReservations(MAX_RESERVATIONS));
        }
        let range = GpaRange::new(Gpa(start), len).unwrap_or_else(|| {
            warnings.add(node, Fault::Wraps { start, len });
            GpaRange { start: Gpa(start), len: u64::MAX.saturating_sub(start) }
        });
        reserved.push(range);
        Ok(())
    };
    for (start, len) in tree.reservations() {
        add("memreserve", start, len, warnings)?;
    }
    if let Some(parent) = read::node_at(tree, "/reserved-memory") {
        let cells = Cells::below(parent);
        for node in parent.children() {
            // A node without `reg` requests memory that is not placed yet.
            let Some(reg) = read::bytes(node, "reg") else { continue };
            let list = cells.ranges(reg).ok_or(MachineError::MalformedReservation)?;
            for (start, len) in list {
                add(node.name, start, len, warnings)?;
            }
        }
    }
    reserved.retain(|range| range.len > 0);
    Ok(reserved)
}

/// A range that must lie in guest memory.
pub(super) fn within(memory: &[GpaRange], start: u64, len: u64) -> Result<GpaRange, Fault> {
    let range = region(start, len)?;
    if memory.iter().any(|region| region.contains(range.start, range.len)) {
        Ok(range)
    } else {
        Err(Fault::OutsideMemory { start, len })
    }
}
