//! Compares the device tree that the guest read from firmware with the one that QEMU gave to firmware.
//!
//! Both must have the same nodes and the same bytes, except for the list [`EXPECTED`], which `docs/device-tree.md`
//! explains.

use crate::variable::Firmware;
use postern_ultravisor::fdt::{Fdt, Node};
use std::collections::BTreeMap;
use std::fmt;

/// A difference between the two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What kind.
    pub kind: Kind,
    /// The node.
    pub path: String,
    /// The property; empty for a node.
    pub name: String,
}

/// A kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// QEMU has the node, the guest does not.
    NodeLost,
    /// The guest has the node, QEMU does not.
    NodeNew,
    /// The guest has the node under another of the names in [`RENAMED`].
    NodeRenamed,
    /// QEMU has the property, the guest does not.
    PropertyLost,
    /// The guest has the property, QEMU does not.
    PropertyNew,
    /// Both have it, with different values.
    Value,
    /// A memory reservation of QEMU's is missing.
    ReservationLost,
    /// `boot_cpuid_phys` of the header differs.
    BootCpu,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, path, name } = self;
        match kind {
            Kind::NodeLost => write!(f, "node {path} is lost"),
            Kind::NodeNew => write!(f, "node {path} is new"),
            Kind::NodeRenamed => write!(f, "node {path} is now called {name}"),
            Kind::PropertyLost => write!(f, "{path}: property {name} is lost"),
            Kind::PropertyNew => write!(f, "{path}: property {name} is new"),
            Kind::Value => write!(f, "{path}: property {name} has another value"),
            Kind::ReservationLost => write!(f, "memory reservation {name} is lost"),
            Kind::BootCpu => write!(f, "boot CPU is {name}"),
        }
    }
}

/// An expected difference.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The firmware that makes it; `None` for both.
    pub firmware: Option<Firmware>,
    /// Its kind.
    pub kind: Kind,
    /// The node; a final `*` matches all paths with this start.
    pub path: &'static str,
    /// The property, or nothing for a node.
    pub name: &'static str,
}

const fn expected(kind: Kind, path: &'static str, name: &'static str) -> Expected {
    Expected { firmware: None, kind, path, name }
}

const fn of_slof(kind: Kind, path: &'static str, name: &'static str) -> Expected {
    Expected { firmware: Some(Firmware::Slof), kind, path, name }
}

const fn of_vof(kind: Kind, path: &'static str, name: &'static str) -> Expected {
    Expected { firmware: Some(Firmware::Vof), kind, path, name }
}

/// Every permitted difference.
pub const EXPECTED: [Expected; 31] = [
    // The boot stage's own.
    expected(Kind::PropertyNew, "/chosen", "postern,cas"),
    expected(Kind::PropertyNew, "/chosen", "postern,entry"),
    expected(Kind::PropertyNew, "/rtas", "linux,rtas-base"),
    expected(Kind::PropertyNew, "/rtas", "linux,rtas-entry"),
    // The result of the negotiation, which is empty before it; another check reads it.
    expected(Kind::Value, "/chosen", "ibm,architecture-vec-5"),
    // The negotiated compatibility mode instead of the CPU's own version.
    expected(Kind::Value, "/cpus/*", "cpu-version"),
    // QEMU chooses a new one at each reset.
    expected(Kind::Value, "/chosen", "rng-seed"),
    // VOF: free memory has changed since reset: RTAS is in it now.
    of_vof(Kind::Value, "/memory@0", "available"),
    // VOF: it makes a new tree after the negotiation, and opens the console again.
    of_vof(Kind::Value, "/chosen", "stdout"),
    // SLOF: its own nodes.
    of_slof(Kind::NodeNew, "/aliases", ""),
    of_slof(Kind::NodeNew, "/mmu", ""),
    of_slof(Kind::NodeNew, "/openprom", ""),
    of_slof(Kind::NodeNew, "/options", ""),
    of_slof(Kind::NodeNew, "/packages", ""),
    // SLOF: it names PCI functions by class alone.
    of_slof(Kind::NodeRenamed, "/pci@*", "communication-controller"),
    // SLOF: it gives each node a new phandle, and marks the nodes that came from QEMU.
    of_slof(Kind::PropertyNew, "/*", "phandle"),
    of_slof(Kind::Value, "/*", "phandle"),
    of_slof(Kind::PropertyLost, "/*", "linux,phandle"),
    of_slof(Kind::PropertyNew, "/*", "slof,from-fdt"),
    // SLOF: instances that it opened, and free memory.
    of_slof(Kind::PropertyNew, "/chosen", "cpu"),
    of_slof(Kind::PropertyNew, "/chosen", "memory"),
    of_slof(Kind::PropertyNew, "/chosen", "mmu"),
    of_slof(Kind::PropertyNew, "/chosen", "stdin"),
    of_slof(Kind::PropertyNew, "/chosen", "stdout"),
    of_slof(Kind::PropertyNew, "/memory@0", "available"),
    // SLOF: RTAS's address and size.
    of_slof(Kind::PropertyNew, "/rtas", "slof,rtas-base"),
    of_slof(Kind::PropertyNew, "/rtas", "slof,rtas-size"),
    // SLOF: PCI functions it set up and has drivers for.
    of_slof(Kind::PropertyNew, "/pci@*", "assigned-addresses"),
    of_slof(Kind::PropertyNew, "/pci@*", "device_type"),
    of_slof(Kind::PropertyNew, "/pci@*", "local-mac-address"),
    of_slof(Kind::PropertyNew, "/pci@*", "mac-address"),
];

/// Names, without unit address, that firmware may replace: QEMU's and the new one.
pub const RENAMED: [(&str, &str); 1] = [("serial", "communication-controller")];

impl Expected {
    fn is(&self, firmware: Firmware, difference: &Difference) -> bool {
        let path = match self.path.strip_suffix('*') {
            Some(start) => difference.path.starts_with(start),
            None => difference.path == self.path,
        };
        path && self.firmware.is_none_or(|known| known == firmware)
            && self.kind == difference.kind
            && self.name == difference.name
    }
}

/// The differences between `given`, by QEMU, and `flattened`, by the guest.
#[must_use]
pub fn compare(given: &Fdt, flattened: &Fdt) -> Vec<Difference> {
    let mut found = Vec::new();
    for range in &given.reserved {
        if !flattened.reserved.contains(range) {
            let name = format!("{:#x}+{:#x}", range.0, range.1);
            found.push(Difference { kind: Kind::ReservationLost, path: String::new(), name });
        }
    }
    if given.boot_cpu != flattened.boot_cpu {
        let name = format!("{} instead of {}", flattened.boot_cpu, given.boot_cpu);
        found.push(Difference { kind: Kind::BootCpu, path: String::new(), name });
    }
    let mut phandles = BTreeMap::new();
    pair_phandles(&given.root, &flattened.root, &mut phandles);
    compare_nodes("/", &given.root, &flattened.root, &phandles, &mut found);
    found
}

/// The differences that are not on the list.
#[must_use]
pub fn unexpected(firmware: Firmware, given: &Fdt, flattened: &Fdt) -> Vec<Difference> {
    let mut found = compare(given, flattened);
    found.retain(|difference| !EXPECTED.iter().any(|expected| expected.is(firmware, difference)));
    found
}

/// Pairs of phandles: QEMU's and the flattened tree's for the same node.
fn pair_phandles(given: &Node, flattened: &Node, pairs: &mut BTreeMap<[u8; 4], [u8; 4]>) {
    let phandle = |node: &Node| node.property("phandle").and_then(|value| value.try_into().ok());
    if let (Some(given), Some(flattened)) = (phandle(given), phandle(flattened)) {
        pairs.insert(given, flattened);
    }
    for child in &given.children {
        if let Some((other, _)) = counterpart(child, flattened) {
            pair_phandles(child, other, pairs);
        }
    }
}

fn compare_nodes(
    path: &str,
    given: &Node,
    flattened: &Node,
    phandles: &BTreeMap<[u8; 4], [u8; 4]>,
    found: &mut Vec<Difference>,
) {
    for (name, value) in given.properties() {
        match flattened.property(name) {
            None => found.push(difference(Kind::PropertyLost, path, name)),
            Some(other) if !same_value(name, value, other, phandles) => {
                found.push(difference(Kind::Value, path, name));
            }
            Some(_) => {}
        }
    }
    for (name, _) in flattened.properties() {
        if given.property(name).is_none() {
            found.push(difference(Kind::PropertyNew, path, name));
        }
    }
    let below = |child: &Node| format!("{}/{}", path.trim_end_matches('/'), child.name);
    let counterparts = given.children.iter().filter_map(|child| counterpart(child, flattened));
    let known: Vec<&str> = counterparts.map(|(other, _)| other.name.as_str()).collect();
    for child in &flattened.children {
        if !known.contains(&child.name.as_str()) {
            found.push(difference(Kind::NodeNew, &below(child), ""));
        }
    }
    for child in &given.children {
        let path = below(child);
        match counterpart(child, flattened) {
            None => found.push(difference(Kind::NodeLost, &path, "")),
            Some((other, renamed)) => {
                if let Some(name) = renamed {
                    found.push(difference(Kind::NodeRenamed, &path, name));
                }
                compare_nodes(&path, child, other, phandles, found);
            }
        }
    }
}

/// The child of `flattened` that corresponds to `child`, and its new name if it has one.
fn counterpart<'a>(child: &Node, flattened: &'a Node) -> Option<(&'a Node, Option<&'static str>)> {
    if let Some(other) = flattened.child(&child.name) {
        return Some((other, None));
    }
    let (name, unit) = child.name.split_once('@').unwrap_or((&child.name, ""));
    let (_, new) = RENAMED.iter().find(|(old, _)| *old == name)?;
    Some((flattened.child(&format!("{new}@{unit}"))?, Some(new)))
}

fn difference(kind: Kind, path: &str, name: &str) -> Difference {
    Difference { kind, path: path.to_owned(), name: name.to_owned() }
}

/// Whether two values are equal; a phandle is equal to its replacement.
fn same_value(name: &str, given: &[u8], flattened: &[u8], phandles: &BTreeMap<[u8; 4], [u8; 4]>) -> bool {
    if given == flattened {
        return true;
    }
    if !matches!(name, "interrupt-map" | "interrupt-parent") || given.len() != flattened.len() {
        return false;
    }
    let words = given.as_chunks::<4>().0.iter().zip(flattened.as_chunks::<4>().0);
    let mut words = words.filter(|(given, flattened)| given != flattened);
    words.all(|(given, flattened)| phandles.get(given) == Some(flattened))
}

#[cfg(test)]
mod tests;
