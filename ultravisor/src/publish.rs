//! Tells a guest by its device tree that there is an ultravisor. Real firmware does not do this; MSR\[S\] tells a guest.

use std::io;

use super::esm::{Requirement, read_tree};
use super::ram::GuestRam;

/// The node below the root, and its `compatible`.
pub const NODE: &str = "ibm,ultravisor";

/// QEMU arguments that make SLOF run Forth from NVRAM which adds the node. VOF and raw ROMs have no Forth.
#[must_use]
pub fn slof_arguments() -> Vec<String> {
    let script = format!(
        "nvramrc=\" /\" find-device new-device \" {NODE}\" device-name \" {NODE}\" encode-string \
         \" compatible\" property finish-device device-end"
    );
    ["-prom-env", "use-nvramrc?=true", "-prom-env", &script].map(str::to_owned).to_vec()
}

/// Adds the node to the flattened tree at this guest physical address.
///
/// # Errors
/// Outside: guest RAM cannot be accessed. Inside: what stands there is no tree.
pub(super) fn add_to_tree(ram: &GuestRam, address: u64) -> io::Result<Result<(), Requirement>> {
    let mut fdt = match read_tree(ram, address)? {
        Ok(fdt) => fdt,
        Err(requirement) => return Ok(Err(requirement)),
    };
    if fdt.node(NODE).is_none() {
        fdt.add_root_child(NODE, &[("compatible", format!("{NODE}\0").as_bytes())]);
    }
    Ok(if ram.write(address, &fdt.pack())? { Ok(()) } else { Err(Requirement::TreeInRam) })
}

/// What reserved memory is filled with.
pub const MARK: u8 = 0x5a;

/// Fills ranges, as address and size, with [`MARK`].
pub(super) fn mark(ram: &GuestRam, ranges: &[(u64, u64)]) -> io::Result<()> {
    for &(start, size) in ranges {
        ram.write(start, &vec![MARK; usize::try_from(size).unwrap_or(0)])?;
    }
    Ok(())
}

/// Reserves ranges, as address and size, in the flattened tree at this guest physical address.
///
/// # Errors
/// Outside: guest RAM cannot be accessed. Inside: what stands there is no tree.
pub(super) fn reserve(
    ram: &GuestRam,
    address: u64,
    ranges: &[(u64, u64)],
) -> io::Result<Result<(), Requirement>> {
    let mut fdt = match read_tree(ram, address)? {
        Ok(fdt) => fdt,
        Err(requirement) => return Ok(Err(requirement)),
    };
    fdt.reserved.extend(ranges);
    mark(ram, ranges)?;
    Ok(if ram.write(address, &fdt.pack())? { Ok(()) } else { Err(Requirement::TreeInRam) })
}

#[cfg(test)]
mod tests {
    use super::super::esm::tests::{TREE, tree};
    use super::super::scratch::ScratchRam;
    use super::*;

    #[test]
    fn the_node_is_added_once() {
        let ram = ScratchRam::new(64 << 20);
        ram.write(TREE, &tree(&[], &[])).expect("write");
        for _ in 0..2 {
            add_to_tree(&ram, TREE).expect("RAM").expect("tree");
        }
        let fdt = read_tree(&ram, TREE).expect("RAM").expect("tree");
        assert_eq!(fdt.root.children.iter().filter(|child| child.name == NODE).count(), 1);
        let node = fdt.node("/ibm,ultravisor").expect("node");
        assert_eq!(node.text("compatible"), Some(b"ibm,ultravisor".as_slice()));
        assert_eq!(
            add_to_tree(&ram, 0).expect("RAM"),
            Err(Requirement::WellFormed(super::super::fdt::FdtError::Magic(0)))
        );
    }

    #[test]
    fn what_is_reserved_is_in_the_tree_and_marked() {
        let ram = ScratchRam::new(64 << 20);
        ram.write(TREE, &tree(&[], &[])).expect("write");
        reserve(&ram, TREE, &[(0x100_0800, 16)]).expect("RAM").expect("tree");
        let fdt = read_tree(&ram, TREE).expect("RAM").expect("tree");
        assert!(fdt.reserved.contains(&(0x100_0800, 16)));
        let bytes = ram.read(0x100_07ff, 18).expect("RAM").expect("in RAM");
        assert_eq!((bytes[0], bytes[17]), (0, 0));
        assert!(bytes[1..17].iter().all(|byte| *byte == MARK));
    }

    #[test]
    fn slof_is_told_in_one_line_of_forth() {
        let arguments = slof_arguments();
        assert_eq!(arguments.len(), 4);
        assert!(arguments[3].starts_with("nvramrc=\" /\" find-device"));
        assert!(!arguments[3].contains("  "), "{}", arguments[3]);
    }
}
