//! False device trees: changes that a hostile host makes to the tree before the guest's first instruction.

use std::io;

use super::esm::Requirement;
use super::fdt::{Fdt, FdtError, claimed_size};
use super::ram::GuestRam;

/// One change. Ranges are address and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Reserves a range and leaves its bytes alone.
    Reserve(u64, u64),
    /// Removes every reservation.
    ReserveNothing,
    /// RTAS lies here.
    Rtas(u64, u64),
    /// The initrd lies here.
    Initrd(u64, u64),
    /// The first service of RTAS has the token of the second.
    Token(&'static str, &'static str),
    /// Memory is these ranges and nothing else.
    Memory(Vec<(u64, u64)>),
    /// A second node after this child of the root, with `@0` appended to its name and these properties instead of its own.
    Twin(&'static str, Vec<(String, Vec<u8>)>),
    /// A node below the root has these properties, too.
    Properties(&'static str, Vec<(String, Vec<u8>)>),
    /// Each node whose name begins like this has these properties, too.
    Inside(&'static str, Vec<(&'static str, Vec<u8>)>),
    /// Replaces the machine's list of CPUs by this number of CPUs: its first CPU, then others.
    Cpus(u32),
    /// The header names this boot CPU.
    BootCpu(u32),
    /// Each entry of a host bridge's interrupt map leads to the bridge itself.
    LoopOfInterrupts,
    /// Moves the tree to this address, which r3 has at entry.
    Move(u64),
    /// Fills the tree up to this number of bytes, a multiple of 4, with a property of the root's last child.
    Fill(usize),
}

/// Changes the flattened tree at this guest physical address.
///
/// # Errors
/// Outside: guest RAM cannot be accessed. Inside: what stands there is no tree.
pub(super) fn change(ram: &GuestRam, address: u64, edits: &[Edit]) -> io::Result<Result<(), Requirement>> {
    let Some(header) = ram.read(address, 8)? else { return Ok(Err(Requirement::TreeInRam)) };
    let size = match claimed_size(&header) {
        Ok(size) => size,
        Err(error) => return Ok(Err(Requirement::WellFormed(error))),
    };
    let Some(tree) = ram.read(address, size.into())? else { return Ok(Err(Requirement::TreeInRam)) };
    let tree = match changed(tree, edits) {
        Ok(tree) => tree,
        Err(error) => return Ok(Err(Requirement::WellFormed(error))),
    };
    Ok(if ram.write(address, &tree)? { Ok(()) } else { Err(Requirement::TreeInRam) })
}

/// Copies the flattened tree at `from` to `to`.
///
/// # Errors
/// As [`change`].
pub(super) fn copy(ram: &GuestRam, from: u64, to: u64) -> io::Result<Result<(), Requirement>> {
    let size = ram.read(from, 8)?.and_then(|header| claimed_size(&header).ok()).unwrap_or_default();
    let tree = ram.read(from, size.into())?.unwrap_or_default();
    Ok(if !tree.is_empty() && ram.write(to, &tree)? { Ok(()) } else { Err(Requirement::TreeInRam) })
}

/// The tree with all changes.
///
/// # Errors
/// It is no tree.
pub fn changed(mut tree: Vec<u8>, edits: &[Edit]) -> Result<Vec<u8>, FdtError> {
    for edit in edits {
        tree = match edit {
            Edit::Reserve(start, size) => {
                let mut fdt = Fdt::parse(&tree)?;
                fdt.reserved.push((*start, *size));
                fdt.pack()
            }
            Edit::ReserveNothing => {
                let mut fdt = Fdt::parse(&tree)?;
                fdt.reserved.clear();
                fdt.pack()
            }
            Edit::Rtas(base, size) => replaced(
                tree,
                "rtas",
                "sat-",
                &[("linux,rtas-base", cells(&[*base as u32])), ("rtas-size", cells(&[*size as u32]))],
            )?,
            Edit::Token(service, other) => {
                let token = Fdt::parse(&tree)?.node("rtas").and_then(|rtas| rtas.cell(other));
                replaced(tree, "rtas", "sat-", &[(service, cells(&[token.unwrap_or_default()]))])?
            }
            Edit::Twin(name, properties) => {
                let mut fdt = Fdt::parse(&tree)?;
                let own = fdt.node(name).into_iter().flat_map(|node| node.properties());
                let own = own.filter(|(name, _)| properties.iter().all(|(new, _)| new != name));
                let own = own.map(|(name, value)| (name.to_owned(), value.to_vec()));
                let all: Vec<_> = own.chain(properties.iter().cloned()).collect();
                let all: Vec<(&str, &[u8])> =
                    all.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                fdt.add_root_child(&format!("{name}@0"), &all);
                fdt.pack()
            }
            Edit::Properties(node, properties) => {
                let all: Vec<(&str, Vec<u8>)> =
                    properties.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                replaced(tree, node, &"x".repeat(node.len()), &all)?
            }
            Edit::Fill(bytes) => {
                let fdt = Fdt::parse(&tree)?;
                // Values are padded to four bytes; the property's name makes up the rest.
                let filled = |bytes: usize| {
                    let mut fdt = fdt.clone();
                    let name = "fill____".get(..4 + bytes % 4).unwrap_or("fill");
                    fdt.add_root_child("fill", &[(name, &vec![1; bytes - bytes % 4])]);
                    fdt.pack()
                };
                filled(bytes.saturating_sub(filled(0).len()))
            }
            Edit::Inside(prefix, properties) => {
                let mut fdt = Fdt::parse(&tree)?;
                let all: Vec<(&str, &[u8])> =
                    properties.iter().map(|(name, value)| (*name, value.as_slice())).collect();
                fdt.add_to_nodes(prefix, &all);
                fdt.pack()
            }
            Edit::Cpus(count) => {
                let fdt = Fdt::parse(&tree)?;
                let own = fdt.node("cpus").into_iter().flat_map(|node| &node.children).next().cloned();
                let first = own.unwrap_or_default();
                let kept = ["device_type", "timebase-frequency", "cpu-version"];
                let child = |server: u32| {
                    let number = ("ibm,ppc-interrupt-server#s", server.to_be_bytes().to_vec());
                    let own = kept.iter().filter_map(|name| Some((*name, first.property(name)?.to_vec())));
                    (format!("PowerPC,POWER9@{server:x}"), own.chain([number]).collect())
                };
                let all: Vec<_> = (0..*count).map(child).collect();
                replace(&mut tree, b"\0\0\0\x01cpus\0", b"\0\0\0\x01supc\0");
                are_no_cpus(&mut tree);
                let mut fdt = Fdt::parse(&tree)?;
                fdt.add_root_tree("cpus", &all);
                fdt.pack()
            }
            Edit::BootCpu(cpu) => {
                let mut fdt = Fdt::parse(&tree)?;
                fdt.boot_cpu = *cpu;
                fdt.pack()
            }
            Edit::LoopOfInterrupts => {
                let fdt = Fdt::parse(&tree)?;
                let bridges = fdt.root.children.iter().filter(|node| node.name.starts_with("pci@"));
                for bridge in bridges {
                    let (Some(map), own) = (bridge.property("interrupt-map"), bridge.cell("phandle")) else {
                        continue;
                    };
                    let mut looped = map.to_vec();
                    for entry in looped.chunks_exact_mut(28) {
                        entry[16..20].copy_from_slice(&own.unwrap_or(0).to_be_bytes());
                    }
                    replace(&mut tree, map, &looped);
                }
                tree
            }
            Edit::Move(_) => tree,
            Edit::Initrd(start, size) => {
                let wide = |address: u64| address.to_be_bytes().to_vec();
                let place = [("linux,initrd-start", wide(*start)), ("linux,initrd-end", wide(start + size))];
                replaced(tree, "chosen", "forgot", &place)?
            }
            Edit::Memory(ranges) => {
                // Rename the old nodes, so that they describe no memory.
                for (old, new) in [(&b"memory@0\0"[..], &b"mammut@0\0"[..]), (b"memory\0", b"mammut\0")] {
                    replace(&mut tree, old, new);
                }
                let mut fdt = Fdt::parse(&tree)?;
                for (start, size) in ranges {
                    let reg = [start.to_be_bytes(), size.to_be_bytes()].concat();
                    let properties = [("device_type", b"memory\0".as_slice()), ("reg", &reg)];
                    fdt.add_root_child(&format!("memory@{start:x}"), &properties);
                }
                fdt.pack()
            }
        };
    }
    Ok(tree)
}

/// Renames the child `name` of the root to `old`, of the same length, and adds a copy of it as `name`, with `properties`
/// changed or added.
fn replaced(
    mut tree: Vec<u8>,
    name: &str,
    old: &str,
    properties: &[(&str, Vec<u8>)],
) -> Result<Vec<u8>, FdtError> {
    let fdt = Fdt::parse(&tree)?;
    let kept = fdt.node(name).into_iter().flat_map(|node| node.properties());
    let kept = kept.filter(|(name, _)| properties.iter().all(|(new, _)| new != name));
    let mut all: Vec<(String, Vec<u8>)> =
        kept.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    all.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let node = |name: &str| [&1_u32.to_be_bytes()[..], name.as_bytes(), &[0]].concat();
    replace(&mut tree, &node(name), &node(old));
    let mut fdt = Fdt::parse(&tree)?;
    let all: Vec<(&str, &[u8])> = all.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    fdt.add_root_child(name, &all);
    Ok(fdt.pack())
}

fn replace(tree: &mut [u8], old: &[u8], new: &[u8]) {
    for at in 0..tree.len() {
        if let Some(bytes) = tree.get_mut(at..at + old.len()).filter(|bytes| *bytes == old) {
            bytes.copy_from_slice(new);
        }
    }
}

/// Changes the type of each node of type `cpu`. Matches whole properties only, because a service's name ends in the same
/// four bytes.
fn are_no_cpus(tree: &mut [u8]) {
    const PROPERTY: [u8; 8] = [0, 0, 0, 3, 0, 0, 0, 4];
    for at in (0..tree.len()).step_by(4) {
        let Some((property, rest)) = tree.get_mut(at..).and_then(<[u8]>::split_first_chunk_mut::<12>) else {
            return;
        };
        if property.starts_with(&PROPERTY)
            && let Some(kind) = rest.first_chunk_mut().filter(|kind| **kind == *b"cpu\0")
        {
            *kind = *b"upc\0";
        }
    }
}

fn cells(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::esm::tests::tree;
    use super::*;

    #[test]
    fn another_list_of_cpus_leaves_every_service_its_name() {
        let given = Fdt::parse(&tree(&[], &[])).expect("tree");
        let fdt = Fdt::parse(&changed(tree(&[], &[]), &[Edit::Cpus(100)]).expect("tree")).expect("tree");
        let names = |fdt: &Fdt| -> Vec<String> {
            let rtas = fdt.node("/rtas").expect("rtas");
            rtas.properties().map(|(name, _)| name.to_owned()).collect()
        };
        assert!(names(&given).contains(&"start-cpu".to_owned()));
        assert_eq!(names(&fdt), names(&given));
        assert_eq!(super::super::esm::servers(&fdt), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn each_change_is_what_a_reader_finds() {
        let edits = [
            Edit::ReserveNothing,
            Edit::Reserve(0x1000, 8),
            Edit::Rtas(0x40_0000, 0x82c),
            Edit::Initrd(0x50_0000, 7),
            Edit::Memory(vec![(0, 0x100_0000), (0x100_0000, 0x300_0000)]),
        ];
        let given = Fdt::parse(&tree(&[], &[])).expect("tree");
        let fdt = Fdt::parse(&changed(tree(&[], &[]), &edits).expect("tree")).expect("tree");
        assert_eq!(fdt.reserved, [(0x1000, 8)]);
        let rtas = fdt.node("/rtas").expect("rtas");
        assert_eq!((rtas.cell("linux,rtas-base"), rtas.cell("rtas-size")), (Some(0x40_0000), Some(0x82c)));
        // Every service is still there.
        let before = given.node("/rtas").expect("rtas");
        assert_eq!(rtas.cell("power-off"), before.cell("power-off"));
        let chosen = fdt.node("/chosen").expect("chosen");
        assert_eq!(chosen.number("linux,initrd-end"), Some(0x50_0007));
        assert_eq!(chosen.text("bootargs"), given.node("/chosen").and_then(|node| node.text("bootargs")));
        let is_memory = |node: &&super::super::fdt::Node| node.text("device_type") == Some(b"memory");
        let names: Vec<&str> =
            fdt.root.children.iter().filter(is_memory).map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["memory@0", "memory@1000000"]);
    }
}
