//! Tests the flattener with trees of a fake firmware.

use super::{Addition, FlattenError, MAX_DEPTH, MAX_NODES, MAX_PROPERTIES, flatten};
use crate::client_interface::{ClientError, ClientInterface, Name, Phandle};
use crate::fdt_writer::{WriteError, Writer};
use fdt::Fdt;

#[derive(Default)]
struct FakeNode {
    path: String,
    properties: Vec<(String, Vec<u8>)>,
    children: Vec<Phandle>,
    parent: Option<Phandle>,
}

/// Node n is `nodes[n - 1]`; node 1 is the root.
struct FakeFirmware {
    nodes: Vec<FakeNode>,
    /// `next_property` starts again at the first one after the last.
    circular_properties: bool,
    /// `peer` always answers with the node itself.
    circular_peers: bool,
    /// `property_len` returns this much more than the length.
    stale_length: usize,
}

impl FakeFirmware {
    fn new() -> Self {
        let root = FakeNode { path: "/".into(), ..FakeNode::default() };
        Self { nodes: vec![root], circular_properties: false, circular_peers: false, stale_length: 0 }
    }

    fn add(&mut self, parent: Phandle, name: &str) -> Phandle {
        let parent_path = self.nodes[parent as usize - 1].path.trim_end_matches('/').to_owned();
        let path = format!("{parent_path}/{name}");
        self.nodes.push(FakeNode { path, parent: Some(parent), ..FakeNode::default() });
        let node = self.nodes.len() as Phandle;
        self.nodes[parent as usize - 1].children.push(node);
        node
    }

    fn set(&mut self, node: Phandle, name: &str, value: &[u8]) {
        self.nodes[node as usize - 1].properties.push((name.into(), value.into()));
    }

    fn find(&self, node: Phandle, name: &Name) -> Option<&[u8]> {
        let properties = &self.nodes[node as usize - 1].properties;
        properties.iter().find(|(n, _)| n.as_bytes() == name.as_bytes()).map(|(_, value)| &value[..])
    }
}

impl ClientInterface for FakeFirmware {
    fn root(&mut self) -> Result<Phandle, ClientError> {
        Ok(1)
    }

    fn child(&mut self, node: Phandle) -> Result<Option<Phandle>, ClientError> {
        Ok(self.nodes[node as usize - 1].children.first().copied())
    }

    fn peer(&mut self, node: Phandle) -> Result<Option<Phandle>, ClientError> {
        if self.circular_peers {
            return Ok(Some(node));
        }
        let Some(parent) = self.nodes[node as usize - 1].parent else { return Ok(None) };
        let siblings = &self.nodes[parent as usize - 1].children;
        let at = siblings.iter().position(|&n| n == node).unwrap();
        Ok(siblings.get(at + 1).copied())
    }

    fn next_property(&mut self, node: Phandle, previous: &Name) -> Result<Option<Name>, ClientError> {
        let properties = &self.nodes[node as usize - 1].properties;
        let at = properties.iter().position(|(n, _)| n.as_bytes() == previous.as_bytes());
        let mut next = properties.get(at.map_or(0, |at| at + 1));
        if next.is_none() && self.circular_properties {
            next = properties.first();
        }
        next.map(|(name, _)| Name::new(name.as_bytes())).transpose()
    }

    fn property_len(&mut self, node: Phandle, name: &Name) -> Result<Option<usize>, ClientError> {
        Ok(self.find(node, name).map(|value| value.len() + self.stale_length))
    }

    fn property(&mut self, node: Phandle, name: &Name, into: &mut [u8]) -> Result<(), ClientError> {
        let value = self.find(node, name).unwrap();
        if value.len() != into.len() {
            return Err(ClientError::Nonsense("getprop", value.len() as u32));
        }
        into.copy_from_slice(value);
        Ok(())
    }

    fn path(&mut self, node: Phandle, into: &mut [u8]) -> Result<usize, ClientError> {
        let path = self.nodes[node as usize - 1].path.as_bytes();
        let shown = path.len().min(into.len());
        into[..shown].copy_from_slice(&path[..shown]);
        Ok(path.len())
    }
}

fn flattened(firmware: &mut FakeFirmware, additions: &[Addition<'_>]) -> Result<Vec<u8>, FlattenError> {
    let (mut buffer, mut names) = (vec![0; 64 << 10], vec![0; 4 << 10]);
    let mut tree = Writer::new(&mut buffer, &mut names, &[])?;
    flatten(firmware, &mut tree, additions)?;
    let total = tree.finish(0, 0)?;
    buffer.truncate(total);
    Ok(buffer)
}

fn machine() -> FakeFirmware {
    let mut firmware = FakeFirmware::new();
    firmware.set(1, "compatible", b"qemu,pseries\0");
    let cpus = firmware.add(1, "cpus");
    let cpu = firmware.add(cpus, "PowerPC,POWER9@0");
    firmware.set(cpu, "phandle", &[0, 0, 0, 0x99]);
    firmware.set(cpu, "name", b"PowerPC,POWER9\0");
    firmware.set(cpu, "reg", &[0, 0, 0, 0]);
    let chosen = firmware.add(1, "chosen");
    firmware.set(chosen, "bootargs", b"svm=on\0");
    firmware.set(chosen, "linux,initrd-start", &[0; 4]);
    firmware.set(chosen, "postern,esm", &[0; 8]);
    firmware
}

#[test]
fn every_node_and_property_of_firmware_is_in_the_flat_tree() {
    let bytes = flattened(&mut machine(), &[]).unwrap();
    let fdt = Fdt::new(&bytes).unwrap();
    let names: Vec<_> = fdt.all_nodes().map(|node| node.name.to_owned()).collect();
    assert_eq!(names, ["/", "cpus", "PowerPC,POWER9@0", "chosen"]);
    let cpu = fdt.find_node("/cpus/PowerPC,POWER9@0").unwrap();
    assert_eq!(cpu.property("reg").unwrap().value, [0; 4]);
    assert_eq!(fdt.find_node("/chosen").unwrap().property("bootargs").unwrap().value, b"svm=on\0");
}

#[test]
fn a_node_has_its_name_once() {
    let bytes = flattened(&mut machine(), &[]).unwrap();
    let fdt = Fdt::new(&bytes).unwrap();
    assert!(fdt.find_node("/cpus/PowerPC,POWER9@0").unwrap().property("name").is_none());
}

#[test]
fn a_node_keeps_its_phandle_or_gets_firmwares() {
    let bytes = flattened(&mut machine(), &[]).unwrap();
    let fdt = Fdt::new(&bytes).unwrap();
    let phandle = |path| fdt.find_node(path).unwrap().property("phandle").unwrap().as_usize();
    assert_eq!(phandle("/cpus/PowerPC,POWER9@0"), Some(0x99));
    assert_eq!(phandle("/cpus"), Some(2));
}

#[test]
fn an_addition_replaces_firmwares_value_and_appears_once() {
    let additions = [
        Addition { path: b"/chosen", name: b"linux,initrd-start", value: &[1, 2, 3, 4] },
        Addition { path: b"/chosen", name: b"postern,entry", value: b"slof\0" },
    ];
    let bytes = flattened(&mut machine(), &additions).unwrap();
    let fdt = Fdt::new(&bytes).unwrap();
    let chosen = fdt.find_node("/chosen").unwrap();
    let starts: Vec<_> = chosen.properties().filter(|p| p.name == "linux,initrd-start").collect();
    assert_eq!(starts.len(), 1);
    assert_eq!(starts[0].value, [1, 2, 3, 4]);
    assert_eq!(chosen.property("postern,entry").unwrap().value, b"slof\0");
}

#[test]
fn firmware_cannot_say_that_uv_esm_succeeded() {
    let bytes = flattened(&mut machine(), &[]).unwrap();
    let fdt = Fdt::new(&bytes).unwrap();
    assert!(fdt.find_node("/chosen").unwrap().property("postern,esm").is_none());
}

#[test]
fn a_property_list_that_never_ends_is_cut_off() {
    let mut firmware = machine();
    firmware.circular_properties = true;
    let (mut buffer, mut names) = (vec![0; 1 << 20], vec![0; 4 << 10]);
    let mut tree = Writer::new(&mut buffer, &mut names, &[]).unwrap();
    let result = flatten(&mut firmware, &mut tree, &[]);
    assert_eq!(result, Err(FlattenError::TooManyProperties(MAX_PROPERTIES)));
}

#[test]
fn a_peer_list_that_never_ends_is_cut_off() {
    let mut firmware = FakeFirmware::new();
    firmware.add(1, "n");
    firmware.circular_peers = true;
    let (mut buffer, mut names) = (vec![0; 4 << 20], vec![0; 4 << 10]);
    let mut tree = Writer::new(&mut buffer, &mut names, &[]).unwrap();
    let result = flatten(&mut firmware, &mut tree, &[]);
    assert_eq!(result, Err(FlattenError::TooManyNodes(MAX_NODES)));
}

#[test]
fn a_tree_too_deep_is_refused() {
    let mut firmware = FakeFirmware::new();
    let mut node = 1;
    for _ in 0..MAX_DEPTH {
        node = firmware.add(node, "n");
    }
    assert_eq!(flattened(&mut firmware, &[]), Err(FlattenError::TooDeep(MAX_DEPTH)));
}

#[test]
fn a_tree_larger_than_the_buffer_is_a_named_error() {
    let mut firmware = machine();
    firmware.set(1, "large", &vec![0; 65 << 10]);
    assert_eq!(flattened(&mut firmware, &[]), Err(FlattenError::Write(WriteError::TreeFull(64 << 10))));
}

#[test]
fn a_value_that_changed_its_length_is_an_error() {
    let mut firmware = machine();
    firmware.stale_length = 1;
    assert!(matches!(flattened(&mut firmware, &[]), Err(FlattenError::Client(ClientError::Nonsense(..)))));
}

#[test]
fn a_path_longer_than_any_is_an_error() {
    let mut firmware = FakeFirmware::new();
    firmware.add(1, &"n".repeat(1024));
    assert_eq!(flattened(&mut firmware, &[]), Err(FlattenError::PathTooLong(1025)));
}
