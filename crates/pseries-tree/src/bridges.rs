//! PCI host bridges (PHBs): their number, their windows, their DMA window.
//!
//! Source: PAPR+ (LoPAPR) B.6, "RTAS and OF extensions for PCI"; QEMU `hw/ppc/spapr_pci.c`.

use super::guard::Tree;
use super::read::{self, Node};
use super::warnings::{Fault, Warnings};
use alloc::vec::Vec;
use papr::addr::{Gpa, GpaRange};
use papr::host_bridge::{self, DmaWindowSpec, Space, Window, WindowError};
use papr::parts::low_u16;
use papr::text::HostText;

/// Most host bridges that are used (QEMU's own limit is 31).
const MAX_BRIDGES: usize = 32;
/// Most entries in one list of a bridge: four pins of each of 32 slots.
const MAX_ENTRIES: usize = 128;

/// Tokens of the RTAS services for dynamic DMA windows, from `ibm,ddw-applicable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DdwTokens {
    /// `ibm,query-pe-dma-window`
    pub query: u32,
    /// `ibm,create-pe-dma-window`
    pub create: u32,
    /// `ibm,remove-pe-dma-window`
    pub remove: u32,
}

/// The interrupt source of each pin of the devices on the bridge's first bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterruptMap {
    mask: [u32; 4],
    entries: Vec<([u32; 4], u32)>,
}

impl InterruptMap {
    /// The level-triggered source of `pin` (1 is INTA) of device `device`, function `function`.
    #[must_use]
    pub fn source(&self, device: u8, function: u8, pin: u8) -> Option<u32> {
        let address = u32::from(device).wrapping_shl(11) | u32::from(function & 7).wrapping_shl(8);
        let unit = self.masked([address, 0, 0, u32::from(pin)]);
        self.entries.iter().find(|(key, _)| self.masked(*key) == unit).map(|(_, source)| *source)
    }

    fn masked(&self, mut unit: [u32; 4]) -> [u32; 4] {
        for (word, mask) in unit.iter_mut().zip(self.mask) {
            *word &= mask;
        }
        unit
    }
}

/// A usable host bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The node's name.
    pub name: HostText,
    /// The bridge's number in this kernel, in the ids of its devices: the low half of the BUID's low word, as
    /// Linux counts PCI domains (QEMU: the bridge's `index`), or the lowest free number if another bridge has that.
    pub domain: u16,
    /// The bridge's number in RTAS calls.
    pub buid: u64,
    /// First and last bus number.
    pub buses: (u8, u8),
    /// The bridge's windows, checked: none lies over memory or another window.
    pub windows: Vec<Window>,
    /// The default DMA window, `ibm,dma-window`.
    pub dma: DmaWindowSpec,
    /// Services for dynamic DMA windows, if the bridge offers them.
    pub ddw: Option<DdwTokens>,
    /// The interrupt source of each pin.
    pub interrupts: InterruptMap,
}

/// Every usable bridge, in the tree's order, and the number of unusable ones.
pub(super) fn read(tree: &Tree<'_>, memory: &[GpaRange], warnings: &mut Warnings) -> (Vec<Bridge>, u64) {
    let mut bridges: Vec<Bridge> = Vec::new();
    let mut left_out = 0_u64;
    let nodes = read::root(tree).into_iter().flat_map(|root| root.children());
    let nodes = nodes.filter(|node| {
        read::text(*node, "device_type") == Some("pci") && read::lists(*node, "compatible", "IBM,Logical_PHB")
    });
    for (number, node) in nodes.enumerate() {
        if number >= MAX_BRIDGES {
            left_out = left_out.saturating_add(1);
            continue;
        }
        match bridge(node, memory).and_then(|bridge| alone(bridge, &bridges)) {
            Ok(bridge) => bridges.push(bridge),
            Err(fault) => {
                left_out = left_out.saturating_add(1);
                warnings.add(node.name, fault);
            }
        }
    }
    (bridges, left_out)
}

/// Refuses a bridge that shares a number or window with another one: a device could use the other's window. Sets its
/// domain.
fn alone(mut bridge: Bridge, others: &[Bridge]) -> Result<Bridge, Fault> {
    let number = bridge.buid;
    if others.iter().any(|other| other.buid == number) {
        return Err(Fault::Shared { what: "BUID", number });
    }
    let number = bridge.dma.liobn();
    if others.iter().any(|other| other.dma.liobn() == number) {
        return Err(Fault::Shared { what: "LIOBN", number: u64::from(number) });
    }
    let cpu = |window: &Window| GpaRange { start: window.gpa, len: window.len };
    let theirs = || others.iter().flat_map(|other| &other.windows);
    for window in &bridge.windows {
        if let Some(other) = theirs().find(|other| cpu(other).overlaps(&cpu(window))) {
            return Err(Fault::Windows(WindowError::Overlap(*window, *other)));
        }
    }
    bridge.domain = domain(bridge.buid, others);
    Ok(bridge)
}

/// A domain number that no other bridge has; there are far fewer bridges than numbers.
fn domain(buid: u64, others: &[Bridge]) -> u16 {
    let free = |number: &u16| others.iter().all(|other| other.domain != *number);
    Some(low_u16(buid)).filter(free).or_else(|| (0..u16::MAX).find(free)).unwrap_or(u16::MAX)
}

fn bridge(node: Node<'_, '_>, memory: &[GpaRange]) -> Result<Bridge, Fault> {
    let property = |name: &'static str| read::bytes(node, name).ok_or(Fault::Missing(name));
    let buid = property("reg")?.first_chunk().map(|buid| u64::from_be_bytes(*buid));
    let windows = windows(property("ranges")?).ok_or(Fault::Malformed("ranges"))?;
    host_bridge::check(&windows, memory).map_err(Fault::Windows)?;
    Ok(Bridge {
        name: HostText::new(node.name.as_bytes()),
        domain: 0,
        buid: buid.ok_or(Fault::Malformed("reg"))?,
        buses: buses(read::bytes(node, "bus-range"))?,
        windows,
        dma: dma_window(node, property("ibm,dma-window")?)?,
        ddw: read::bytes(node, "ibm,ddw-applicable").and_then(ddw),
        interrupts: read::bytes(node, "interrupt-map")
            .zip(read::bytes(node, "interrupt-map-mask"))
            .and_then(|(map, mask)| interrupts(map, mask))
            .unwrap_or_default(),
    })
}

fn buses(value: Option<&[u8]>) -> Result<(u8, u8), Fault> {
    let Some(value) = value else { return Ok((0, u8::MAX)) };
    let mut words = read::words(value).map(|word| u8::try_from(word).ok());
    match (words.next().flatten(), words.next().flatten()) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Fault::Malformed("bus-range")),
    }
}

/// `ranges`: bus address of three cells, guest physical address of two, size of two.
fn windows(value: &[u8]) -> Option<Vec<Window>> {
    const ENTRY: usize = 28;
    if value.is_empty() || !value.len().is_multiple_of(ENTRY) {
        return None;
    }
    let number = |bytes: &[u8], at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    value
        .chunks_exact(ENTRY)
        .take(MAX_ENTRIES)
        .filter_map(|entry| {
            // Bits 25 and 24 of the first word: the address space (PCI Bus Binding 2.2.1.1).
            let space = match entry.first()? & 3 {
                1 => Space::Io,
                2 => Space::Memory32,
                3 => Space::Memory64,
                // Config space, which RTAS reaches.
                _ => return None,
            };
            Some(
                number(entry, 4)
                    .zip(number(entry, 12))
                    .zip(number(entry, 20))
                    .map(|((bus, gpa), len)| Window { space, bus, gpa: Gpa(gpa), len }),
            )
        })
        .collect()
}

/// `ibm,dma-window`: LIOBN, then address and size in the bridge's numbers of cells.
fn dma_window(node: Node<'_, '_>, value: &[u8]) -> Result<DmaWindowSpec, Fault> {
    let malformed = Fault::Malformed("ibm,dma-window");
    let cells = |name| read::word(node, name).map_or(2, |cells| cells as usize);
    let cells = read::Cells { address: cells("ibm,#dma-address-cells"), size: cells("ibm,#dma-size-cells") };
    let Some((liobn, window)) = value.split_first_chunk() else { return Err(malformed) };
    let (base, size) = cells.ranges(window).and_then(|mut list| list.next()).ok_or(malformed)?;
    DmaWindowSpec::new(u32::from_be_bytes(*liobn), base, size).map_err(|_| Fault::DmaWindow { base, size })
}

fn ddw(value: &[u8]) -> Option<DdwTokens> {
    let mut tokens = read::words(value);
    Some(DdwTokens { query: tokens.next()?, create: tokens.next()?, remove: tokens.next()? })
}

/// `interrupt-map`: child address of three cells, pin, parent, source, sense. Entries for another kind of
/// parent do not have this length, and then the map is not used at all.
fn interrupts(map: &[u8], mask: &[u8]) -> Option<InterruptMap> {
    let four = |words: &mut dyn Iterator<Item = u32>| {
        Some([words.next()?, words.next()?, words.next()?, words.next()?])
    };
    let mask = four(&mut read::words(mask))?;
    if !map.len().is_multiple_of(28) {
        return None;
    }
    let entries = map.chunks_exact(28).take(MAX_ENTRIES).filter_map(|entry| {
        let mut words = read::words(entry);
        let key = four(&mut words)?;
        Some((key, words.nth(1)?))
    });
    Some(InterruptMap { mask, entries: entries.collect() })
}
