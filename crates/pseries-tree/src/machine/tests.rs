//! Real trees, and hostile trees.

use super::{Machine, MachineError};
use crate::guard::Tree;
use crate::warnings::Fault;
use papr::addr::{Gpa, GpaRange};
use std::vec::Vec;
use testkit::trees::Builder;

fn range(start: u64, len: u64) -> GpaRange {
    GpaRange::new(Gpa(start), len).unwrap()
}

fn read(blob: &[u8]) -> Result<Machine, MachineError> {
    Machine::read(&Tree::check(blob).unwrap())
}

fn machine(blob: &[u8]) -> Machine {
    read(blob).unwrap()
}

fn cells(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A real tree in which one property of one node has another value, or is gone.
fn with(blob: &[u8], node: &str, name: &str, value: Option<&[u8]>) -> Vec<u8> {
    let mut found = false;
    let edited = Builder::edited(blob, |path, property, old| {
        if path == node && property == name {
            found = true;
            value.map(<[u8]>::to_vec)
        } else {
            Some(old.to_vec())
        }
    });
    assert!(found, "{node} has no {name}");
    edited
}

fn faults(machine: &Machine) -> Vec<Fault> {
    machine.warnings.list().iter().map(|warning| warning.fault.clone()).collect()
}

/// A tree of a machine with these nodes and one processor.
fn small(add: impl FnOnce(Builder) -> Builder) -> Vec<u8> {
    let root = Builder::new().node("").cells("#address-cells", &[2]).cells("#size-cells", &[2]);
    let cpus = root.node("cpus").node("PowerPC,POWER9@0").prop("device_type", b"cpu\0").cells("reg", &[0]);
    add(cpus.cells("timebase-frequency", &[512_000_000]).end().end()).end().blob()
}

fn memory(tree: Builder, name: &str, reg: &[u32]) -> Builder {
    tree.node(name).prop("device_type", b"memory\0").cells("reg", reg).end()
}

mod bridges;
mod limits;
mod memory;
mod real;
mod twins;
mod violations;
