//! PCI functions as QEMU has them: the place of each, the addresses of its registers, and the ranges that the bridges above
//! it forward.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// A function at a wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// The guest's functions are not QEMU's. Each is `DDDD:BB:DD.F KIND`.
    Functions {
        /// From the guest's facts.
        guest: BTreeSet<String>,
        /// From QEMU's tree.
        qemu: BTreeSet<String>,
    },
    /// Registers, first and last address, that a bridge above does not forward.
    NotForwarded(u64, u64),
    /// Registers of two functions behind one host bridge overlap: their start addresses.
    Overlap(u64, u64),
    /// QEMU's answer has another form than expected.
    Answer(String),
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Functions { guest, qemu } => write!(f, "the guest uses {guest:?}, and QEMU has {qemu:?}"),
            Self::NotForwarded(first, last) => {
                write!(f, "registers at {first:#x}-{last:#x} are not forwarded by a bridge above")
            }
            Self::Overlap(one, other) => write!(f, "registers at {one:#x} and at {other:#x} overlap"),
            Self::Answer(answer) => write!(f, "QEMU's answer about its PCI buses: {answer}"),
        }
    }
}

/// The functions of these kinds in `info qtree`, as `DDDD:BB:DD.F KIND`; the domain is the host bridge's index.
#[must_use]
pub fn functions(tree: &str, kinds: &[&str]) -> BTreeSet<String> {
    let (mut domain, mut kind) = (0_u32, "");
    let mut found = BTreeSet::new();
    for line in tree.lines().map(str::trim) {
        if let Some(device) = line.strip_prefix("dev: ") {
            kind = device.split(',').next().unwrap_or_default();
        } else if let Some(index) = line.strip_prefix("index = ").filter(|_| kind == "spapr-pci-host-bridge")
        {
            domain = index.split(' ').next().and_then(|index| index.parse().ok()).unwrap_or(u32::MAX);
        } else if let Some((_, rest)) =
            line.strip_prefix("class ").and_then(|line| line.split_once(", addr "))
            && kinds.contains(&kind)
        {
            let address = rest.split(',').next().unwrap_or_default();
            found.insert(format!("{domain:04x}:{address} {kind}"));
        }
    }
    found
}

/// Faults of the registers in QMP's `query-pci`: every memory BAR with an address must lie in the forwarded range of each
/// bridge above it, and must not overlap another one of its host bridge.
#[must_use]
pub fn registers(buses: &Value) -> Vec<Misplaced> {
    let mut found = Vec::new();
    let Some(roots) = buses.as_array() else { return vec![Misplaced::Answer(buses.to_string())] };
    for root in roots {
        let mut taken = Vec::new();
        match below(root, &[], &mut taken, &mut found) {
            Some(()) if !taken.is_empty() => {}
            _ => found.push(Misplaced::Answer(root.to_string())),
        }
        taken.sort_unstable();
        let pairs = taken.iter().zip(taken.iter().skip(1));
        found.extend(pairs.filter(|(a, b)| a.1 >= b.0).map(|(a, b)| Misplaced::Overlap(a.0, b.0)));
    }
    found
}

type Range = (u64, u64);

/// Checks a bus's functions, or those behind a bridge; `None` if the answer is incomplete.
fn below(
    bus: &Value,
    above: &[Vec<Range>],
    taken: &mut Vec<Range>,
    found: &mut Vec<Misplaced>,
) -> Option<()> {
    for device in bus.get("devices").into_iter().flat_map(Value::as_array).flatten() {
        for region in device.get("regions")?.as_array()? {
            // Without an address: -1.
            let Some(first) = region.get("address")?.as_u64() else { continue };
            if region.get("type")?.as_str()? != "memory" {
                continue;
            }
            let last = first.checked_add(region.get("size")?.as_u64()?.checked_sub(1)?)?;
            let forwards = |windows: &Vec<Range>| windows.iter().any(|w| w.0 <= first && last <= w.1);
            if !above.iter().all(forwards) {
                found.push(Misplaced::NotForwarded(first, last));
            }
            taken.push((first, last));
        }
        if let Some(bridge) = device.get("pci_bridge") {
            let window = |name: &str| {
                let range = bridge.get("bus")?.get(name)?;
                Some((range.get("base")?.as_u64()?, range.get("limit")?.as_u64()?))
            };
            let mut above = above.to_vec();
            above.push(vec![window("memory_range")?, window("prefetchable_range")?]);
            below(bridge, &above, taken, found)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// QEMU 7.2's output, cut to the relevant lines and to misleading ones.
    const TREE: &str = "bus: main-system-bus\n  type System\n  dev: spapr-pci-host-bridge, id \"b\"\n    index = 30 (0x1e)\n    \
        bus: b.0\n      dev: pci-bridge, id \"q\"\n        acpi-index = 0 (0x0)\n        class PCI bridge, addr 00:01.0, \
        pci id 1b36:0001 (sub 3f00:0000)\n        bus: q\n          dev: virtio-net-pci, id \"\"\n            class = 0 (0x0)\n\
        \x20           class Ethernet controller, addr 01:04.0, pci id 1af4:1041 (sub 1af4:1100)\n  \
        dev: spapr-pci-host-bridge, id \"\"\n    index = 0 (0x0)\n    bus: pci.0\n      dev: virtio-blk-pci, id \"\"\n        \
        class SCSI controller, addr 02:03.0, pci id 1af4:1042 (sub 1af4:1100)\n";

    #[test]
    fn functions_are_named_as_the_guest_names_them() {
        let found = functions(TREE, &["virtio-blk-pci", "virtio-net-pci"]);
        let wanted = ["0000:02:03.0 virtio-blk-pci", "001e:01:04.0 virtio-net-pci"];
        assert_eq!(found, wanted.map(str::to_owned).into());
    }

    fn machine(first: u64, other: u64) -> Value {
        let region =
            |address: Value| json!({ "bar": 1, "type": "memory", "address": address, "size": 0x1000 });
        let io = json!({ "bar": 0, "type": "io", "address": 0x20, "size": 0x20 });
        let range = |base: u64, limit: u64| json!({ "base": base, "limit": limit });
        let bus = json!({ "memory_range": range(0x8000_0000, 0x800f_ffff), "prefetchable_range": range(0x10, 0xf) });
        let behind = json!({ "slot": 1, "regions": [io, region(json!(first)), region(json!(-1))] });
        json!([{ "bus": 0, "devices": [
            { "slot": 0, "regions": [], "pci_bridge": { "bus": bus, "devices": [behind] } },
            { "slot": 2, "regions": [region(json!(other))] },
        ] }])
    }

    #[test]
    fn registers_outside_the_forwarded_range_are_found() {
        assert_eq!(registers(&machine(0x800f_f000, 0x9000_0000)), []);
        let outside = Misplaced::NotForwarded(0x8010_0000, 0x8010_0fff);
        assert_eq!(registers(&machine(0x8010_0000, 0x9000_0000)), [outside]);
    }

    #[test]
    fn overlapping_registers_are_found() {
        let both = Misplaced::Overlap(0x8000_0000, 0x8000_0800);
        assert_eq!(registers(&machine(0x8000_0000, 0x8000_0800)), [both]);
    }

    #[test]
    fn an_answer_of_another_form_is_shown() {
        assert!(matches!(registers(&json!({}))[..], [Misplaced::Answer(_)]));
        assert!(matches!(registers(&json!([{ "devices": [{}] }]))[..], [Misplaced::Answer(_)]));
    }
}
