//! The machine as the tree describes it, as far as the kernel uses it. Nothing here points into the tree.

use super::bridges::{self, Bridge};
use super::cpus::{self, Cpus};
use super::early::{self, Entry};
use super::guard::Tree;
pub use super::machine_error::MachineError;
use super::memory;
use super::read;
use super::rtas::{self, Rtas};
use super::warnings::{Fault, Warnings};
use alloc::vec::Vec;
use papr::addr::GpaRange;
use papr::cas::Outcome;
use papr::described::Described;
use papr::text::HostText;

/// Nodes that an ultravisor reads, too: it measures what `/chosen` names, dispatches by the tokens of `/rtas` and
/// counts the CPUs. In a tree with two nodes of one name, each reader could find a different one.
const ONLY_ONCE: [&str; 3] = ["chosen", "rtas", "cpus"];
/// The properties of `/chosen` that an ultravisor measures.
const MEASURED: [&str; 3] = ["bootargs", "linux,initrd-start", "linux,initrd-end"];

/// Longest accepted command line, in bytes.
pub const MAX_LINE: usize = 4096;

/// Most devices of the hypervisor's own bus that are listed; more are counted.
const MAX_VIRTUAL_DEVICES: usize = 32;

/// The hypervisor console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// The node's name.
    pub name: HostText,
    /// The terminal's number in H_PUT_TERM_CHAR.
    pub number: u32,
}

/// A device of the hypervisor's own bus that this kernel has no driver for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualDevice {
    /// The node's name.
    pub name: HostText,
    /// The first entry of `compatible`.
    pub kind: HostText,
}

/// Kinds of interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptController {
    /// XICS, which the kernel drives by hypercalls.
    Xics,
    /// XIVE in exploitation mode.
    Xive,
}

/// A machine, as its tree describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `model` of the root.
    pub model: HostText,
    /// What entered the image.
    pub entry: Entry,
    /// How the negotiation with firmware ended.
    pub cas: Outcome,
    /// The firmware's name for itself, if the tree has it.
    pub firmware: Option<HostText>,
    /// The hypervisor's name for itself (`/hypervisor`); none under TCG.
    pub hypervisor: Option<HostText>,
    /// Memory: sorted, disjoint, regions that touch merged; begins at 0.
    pub memory: Vec<GpaRange>,
    /// Memory that must not be used: the reservation block and `/reserved-memory`.
    pub reserved: Vec<GpaRange>,
    /// The initial RAM disk.
    pub initrd: Option<GpaRange>,
    /// The command line, cut one byte after [`MAX_LINE`]; empty if there is none.
    pub bootargs: Vec<u8>,
    /// The console; without one the log stays in memory.
    pub terminal: Option<Terminal>,
    /// Other devices on the hypervisor's own bus, without the NVRAM that each machine has.
    pub virtual_devices: Vec<VirtualDevice>,
    /// Number of such devices that are not listed.
    pub virtual_devices_left_out: u64,
    /// The processors.
    pub cpus: Cpus,
    /// Run-time abstraction services.
    pub rtas: Rtas,
    /// Usable PCI host bridges.
    pub bridges: Vec<Bridge>,
    /// Number of unusable bridges; each has a warning, as far as there is room.
    pub bridges_left_out: u64,
    /// The interrupt controller.
    pub interrupts: Option<InterruptController>,
    /// An emulated ultravisor announces itself.
    pub marker: bool,
    /// The kernel base that was passed to UV_ESM, if the boot stage has called it.
    pub esm_base: Option<u64>,
    /// Faults of the tree that are ignored.
    pub warnings: Warnings,
}

impl Machine {
    /// Reads everything that the kernel uses of the tree.
    ///
    /// # Errors
    /// The tree describes no machine on which the kernel can run.
    pub fn read(tree: &Tree<'_>) -> Result<Self, MachineError> {
        unambiguous(tree)?;
        let mut warnings = Warnings::default();
        let memory = memory::regions(tree, &mut warnings)?;
        let text = |path: &str, name: &str| {
            let text = read::node_at(tree, path).and_then(|node| read::text(node, name));
            text.map(|text| HostText::new(text.as_bytes()))
        };
        let (bridges, bridges_left_out) = bridges::read(tree, &memory, &mut warnings);
        let reserved = memory::reservations(tree, &mut warnings)?;
        let initrd = initrd(tree, &memory, &mut warnings);
        let terminal = terminal(tree, &mut warnings);
        let (virtual_devices, virtual_devices_left_out) = virtual_devices(tree, terminal.as_ref());
        Ok(Self {
            model: text("/", "model").unwrap_or_default(),
            entry: early::entry(tree),
            cas: early::cas(tree),
            firmware: text("/openprom", "model"),
            hypervisor: text("/hypervisor", "compatible"),
            reserved,
            initrd,
            bootargs: early::bootargs(tree).iter().take(MAX_LINE.saturating_add(1)).copied().collect(),
            terminal,
            virtual_devices,
            virtual_devices_left_out,
            cpus: cpus::read(tree, &mut warnings)?,
            rtas: rtas::read(tree, &memory, &mut warnings)?,
            bridges,
            bridges_left_out,
            interrupts: interrupts(tree),
            marker: early::marker(tree),
            esm_base: early::esm_base(tree),
            memory,
            warnings,
        })
    }

    /// The ranges from which the machine's memory map is made.
    #[must_use]
    pub fn described(&self) -> Described {
        let windows = self.bridges.iter().flat_map(|bridge| &bridge.windows);
        Described {
            memory: self.memory.clone(),
            reserved: self.reserved.clone(),
            windows: windows.map(|window| (window.gpa, window.len)).collect(),
            rtas: self.rtas.range,
            initrd: self.initrd,
        }
    }

    /// Size of all memory in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory.iter().fold(0, |sum, region| sum.saturating_add(region.len))
    }
}

/// Refuses a tree in which two readers could find different nodes under one name.
fn unambiguous(tree: &Tree<'_>) -> Result<(), MachineError> {
    let several = |name: &&str| read::root(tree).is_some_and(|root| read::children(root, name).count() > 1);
    if let Some(name) = ONLY_ONCE.iter().find(|name| several(name)) {
        return Err(MachineError::SeveralNodes(name));
    }
    let Some(chosen) = read::node_at(tree, "/chosen") else { return Ok(()) };
    let several = |name: &&str| chosen.properties().filter(|property| property.name == *name).count() > 1;
    match MEASURED.iter().find(|name| several(name)) {
        Some(name) => Err(MachineError::SeveralProperties(name)),
        None => Ok(()),
    }
}

fn initrd(tree: &Tree<'_>, memory: &[GpaRange], warnings: &mut Warnings) -> Option<GpaRange> {
    let chosen = read::node_at(tree, "/chosen")?;
    let start = read::number(chosen, "linux,initrd-start")?;
    let end = read::number(chosen, "linux,initrd-end")?;
    if end <= start {
        warnings.add("chosen", Fault::Malformed("linux,initrd-end"));
        return None;
    }
    match memory::within(memory, start, end.saturating_sub(start)) {
        Ok(range) => Some(range),
        Err(fault) => {
            warnings.add("chosen", fault);
            None
        }
    }
}

/// The terminal that `/chosen` names, otherwise the first one in the tree.
fn terminal(tree: &Tree<'_>, warnings: &mut Warnings) -> Option<Terminal> {
    let as_terminal = |node: read::Node<'_, '_>| {
        let number = read::word(node, "reg").filter(|_| read::lists(node, "compatible", "hvterm1"))?;
        Some(Terminal { name: HostText::new(node.name.as_bytes()), number })
    };
    let chosen = read::node_at(tree, "/chosen");
    for name in ["stdout-path", "linux,stdout-path"] {
        let Some(path) = chosen.and_then(|chosen| read::text(chosen, name)) else { continue };
        let found = read::node_at(tree, path).and_then(as_terminal);
        if found.is_some() {
            return found;
        }
        warnings.add("chosen", Fault::Dangling(name));
    }
    let found = read::node_at(tree, "/vdevice").and_then(|parent| parent.children().find_map(as_terminal));
    if found.is_none() {
        warnings.add("vdevice", Fault::Missing("hvterm1"));
    }
    found
}

/// The devices on the hypervisor's own bus besides the terminal and the NVRAM, and the number of those that are not
/// listed.
fn virtual_devices(tree: &Tree<'_>, terminal: Option<&Terminal>) -> (Vec<VirtualDevice>, u64) {
    let Some(parent) = read::node_at(tree, "/vdevice") else { return (Vec::new(), 0) };
    let mut kept: Vec<VirtualDevice> = Vec::new();
    let mut left_out: u64 = 0;
    for node in parent.children() {
        let name = HostText::new(node.name.as_bytes());
        if read::base_name(node.name) == "nvram" || terminal.is_some_and(|terminal| terminal.name == name) {
            continue;
        }
        if kept.len() == MAX_VIRTUAL_DEVICES {
            left_out = left_out.saturating_add(1);
            continue;
        }
        let kind = read::text(node, "compatible").unwrap_or_default();
        kept.push(VirtualDevice { name, kind: HostText::new(kind.as_bytes()) });
    }
    (kept, left_out)
}

fn interrupts(tree: &Tree<'_>) -> Option<InterruptController> {
    let nodes = read::root(tree).into_iter().flat_map(|root| root.children());
    nodes.filter(|node| read::bytes(*node, "interrupt-controller").is_some()).find_map(|node| {
        let is = |kind| read::lists(node, "compatible", kind);
        match () {
            () if is("IBM,ppc-xicp") => Some(InterruptController::Xics),
            () if is("ibm,power-ivpe") => Some(InterruptController::Xive),
            () => None,
        }
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]
mod tests;
