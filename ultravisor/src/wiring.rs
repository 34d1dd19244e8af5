//! QEMU's devices, from its monitor's `info qtree`, and the I/O memory management unit of each.

/// The bit in the unit numbers of a PCI host bridge, which have the bridge's index above the window's number; a device of
/// the VIO bus has its own number (`include/hw/ppc/spapr.h`).
const PCI: u64 = 0x8000_0000;
const WINDOW_BITS: u32 = 8;

/// A device that accesses memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    /// Its unit's number without the window's number.
    unit: u64,
    /// Its name for a person.
    name: String,
}

/// The devices before the guest began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring(Vec<Device>);

/// A device or a bus of the tree.
#[derive(Debug)]
struct Node<'a> {
    indent: usize,
    parent: Option<usize>,
    /// A device has a type.
    kind: Option<&'a str>,
    /// A bus has a name, a device mostly none.
    name: &'a str,
    properties: Vec<(&'a str, &'a str)>,
}

impl Node<'_> {
    fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.trim_matches('"')).filter(|value| !value.is_empty())
    }

    /// `1 (0x1)`.
    fn number(&self, name: &str) -> Option<u64> {
        self.property(name)?.split(' ').next()?.parse().ok()
    }
}

impl Wiring {
    /// Reads the tree.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let nodes = nodes(text);
        Self((0..nodes.len()).filter_map(|at| device(&nodes, at)).collect())
    }

    /// The devices behind a unit, without devices that were plugged in later.
    #[must_use]
    pub fn behind(&self, liobn: u64) -> Vec<&str> {
        let unit = if liobn & PCI == 0 { liobn } else { liobn >> WINDOW_BITS << WINDOW_BITS };
        self.0.iter().filter(|device| device.unit == unit).map(|device| device.name.as_str()).collect()
    }

    /// The same as half a sentence after the unit's number; nothing where no device is known.
    #[must_use]
    pub fn sentence(&self, liobn: u64) -> String {
        match &self.behind(liobn)[..] {
            [] => String::new(),
            [one] => format!(", which is {one}"),
            several => format!(", which is one of: {}", several.join("; ")),
        }
    }
}

/// Devices and buses, each after its parent and indented by two spaces more.
fn nodes(text: &str) -> Vec<Node<'_>> {
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for line in text.lines() {
        let word = line.trim();
        let indent = line.len() - line.trim_start().len();
        while open.last().is_some_and(|at| nodes[*at].indent >= indent) {
            open.pop();
        }
        let node =
            |kind, name| Node { indent, parent: open.last().copied(), kind, name, properties: Vec::new() };
        let new = if let Some(device) = word.strip_prefix("dev: ") {
            let (kind, id) = device.split_once(", id ").unwrap_or((device, ""));
            Some(node(Some(kind), id.trim_matches('"')))
        } else {
            word.strip_prefix("bus: ").map(|bus| node(None, bus))
        };
        if let Some(node) = new {
            open.push(nodes.len());
            nodes.push(node);
        } else if let Some(at) = open.last()
            && let Some((name, value)) = word.split_once(" = ")
        {
            nodes[*at].properties.push((name, value));
        }
    }
    nodes
}

/// Reads one device: on the VIO bus, or behind a PCI host bridge at any depth. A bridge does not access memory itself, and
/// a virtio device without ACCESS_PLATFORM does not use the unit.
fn device(nodes: &[Node<'_>], at: usize) -> Option<Device> {
    let node = nodes.get(at)?;
    let kind = node.kind?;
    let bus = node.parent.and_then(|parent| nodes.get(parent))?;
    let named = if node.name.is_empty() { kind.to_owned() } else { format!("{kind} \"{}\"", node.name) };
    if bus.name == "spapr-vio" {
        return Some(Device { unit: node.number("reg")?, name: named });
    }
    let slot = node.property("addr").filter(|_| !kind.ends_with("bridge"))?;
    let bridge = above(nodes, at).find(|node| node.kind == Some("spapr-pci-host-bridge"))?;
    let virtio = nodes.iter().enumerate().filter(|(inner, node)| {
        node.kind.is_some_and(|kind| kind.starts_with("virtio-"))
            && above(nodes, *inner).nth(1).is_some_and(|outer| std::ptr::eq(outer, &nodes[at]))
    });
    let parts: Vec<_> = std::iter::once(node).chain(virtio.map(|(_, node)| node)).collect();
    let property = |name: &str| parts.iter().find_map(|part| part.property(name));
    if property("iommu_platform") == Some("false") {
        return None;
    }
    let backend = ["drive", "netdev", "chardev"].into_iter().find_map(|name| Some((name, property(name)?)));
    let backend = backend.map_or_else(String::new, |(name, value)| format!(", {name} {value}"));
    let name = format!("{named} at {slot} of {}{backend}", bus.name);
    Some(Device { unit: PCI | bridge.number("index")? << WINDOW_BITS, name })
}

/// A node's parents, innermost first.
fn above<'a>(nodes: &'a [Node<'a>], at: usize) -> impl Iterator<Item = &'a Node<'a>> {
    let mut next = nodes.get(at).and_then(|node| node.parent);
    std::iter::from_fn(move || {
        let node = nodes.get(next?)?;
        next = node.parent;
        Some(node)
    })
}

#[cfg(test)]
#[path = "wiring/tests.rs"]
mod tests;
