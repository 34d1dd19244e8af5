//! QEMU's trace of the I/O memory management unit: each TCE that was installed and each translation that a
//! device made (`hw/ppc/trace-events`).

use std::collections::BTreeMap;

/// Trace events that [`Trace::parse`] understands, as QEMU's `-trace` takes them. Not those of reading a TCE:
/// a kernel that reads a whole window back makes more of them than of all others together.
pub const EVENTS: [&str; 6] = [
    "spapr_iommu_*put",
    "spapr_iommu_*stuff",
    "spapr_iommu_*indirect",
    "spapr_iommu_xlate",
    "spapr_iommu_ddw_*",
    "spapr_update_dt",
];

/// Page size of the default window; windows made later say theirs.
const DEFAULT_PAGE: u64 = 0x1000;
/// The low bits of a TCE: the device may read, the device may write.
const PERMISSIONS: u64 = 3;

/// Something that happened at the I/O memory management unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A run of entries was set to one value, successfully.
    Install {
        /// The bus.
        liobn: u64,
        /// First I/O bus address.
        ioba: u64,
        /// Entries.
        count: u64,
        /// The value.
        tce: u64,
        /// Bytes that each entry covers.
        page: u64,
    },
    /// Entries came from a list page in guest memory, which the host reads: values unknown here.
    List {
        /// The bus.
        liobn: u64,
        /// The list's guest physical address.
        list: u64,
    },
    /// A device reached memory.
    Translate {
        /// I/O bus address.
        ioba: u64,
        /// Guest physical address of the page.
        address: u64,
        /// Bytes in the page.
        page: u64,
    },
}

impl Event {
    /// The memory that the event lets a device reach, if any: first byte and length.
    #[must_use]
    pub fn reach(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Install { tce, page, .. } if tce & PERMISSIONS != 0 => Some((tce & !(page - 1), page)),
            Self::Translate { address, page, .. } => Some((address & !(page - 1), page)),
            Self::Install { .. } | Self::List { .. } => None,
        }
    }
}

/// A run's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Before SLOF handed the final tree to QEMU (H_UPDATE_DT, at `quiesce`): events of firmware itself. Empty under
    /// firmware without device drivers.
    pub firmware: Vec<Event>,
    /// From there on: the kernel.
    pub kernel: Vec<Event>,
    /// Lines that name one of [`EVENTS`] and could not be parsed. They count as a finding.
    pub unread: Vec<String>,
}

impl Trace {
    /// Reads QEMU's log.
    #[must_use]
    pub fn parse(log: &str) -> Self {
        let mut trace = Self::default();
        let mut pages = BTreeMap::new();
        for line in log.lines() {
            let Some(at) = line.find("spapr_") else { continue };
            let mut words = line[at..].split_whitespace();
            let name = words.next().unwrap_or_default();
            let fields = Fields(&line[at..]);
            match name {
                "spapr_update_dt" => trace.firmware.append(&mut trace.kernel),
                "spapr_iommu_ddw_create" => match (fields.number("liobn"), fields.number("size")) {
                    (Some(liobn), Some(size)) if size.is_power_of_two() => {
                        pages.insert(liobn, size);
                    }
                    _ => trace.unread.push(line.to_owned()),
                },
                _ => match fields.event(name, &pages) {
                    Some(Reading::Event(event)) => trace.kernel.push(event),
                    Some(Reading::Nothing) => {}
                    None => trace.unread.push(line.to_owned()),
                },
            }
        }
        trace
    }

    /// Entries that were installed and not cleared by the end, by firmware or the kernel.
    #[must_use]
    pub fn live(&self) -> Vec<Event> {
        self.standing().map(|(event, _)| event).collect()
    }

    /// Those of them that firmware installed.
    #[must_use]
    pub fn left_by_firmware(&self) -> Vec<Event> {
        self.standing().filter(|&(_, firmware)| firmware).map(|(event, _)| event).collect()
    }

    fn standing(&self) -> impl Iterator<Item = (Event, bool)> {
        let mut entries = BTreeMap::new();
        let firmware = self.firmware.iter().map(|event| (event, true));
        for (event, firmware) in firmware.chain(self.kernel.iter().map(|event| (event, false))) {
            let &Event::Install { liobn, ioba, count, tce, page } = event else { continue };
            for i in 0..count {
                let ioba = ioba.wrapping_add(i.wrapping_mul(page));
                if tce & PERMISSIONS == 0 {
                    entries.remove(&(liobn, ioba));
                } else {
                    let one = Event::Install { liobn, ioba, count: 1, tce, page };
                    entries.insert((liobn, ioba), (one, firmware));
                }
            }
        }
        entries.into_values()
    }
}

enum Reading {
    Event(Event),
    Nothing,
}

#[derive(Clone, Copy)]
struct Fields<'a>(&'a str);

impl Fields<'_> {
    /// The number after `name=` (or after `name `, as one event has it); hexadecimal with `0x`.
    fn number(self, name: &str) -> Option<u64> {
        let (_, value) = ["=", " "].iter().find_map(|mark| self.0.split_once(&format!(" {name}{mark}")))?;
        number(value.split([' ', ',']).next()?)
    }

    fn event(self, name: &str, pages: &BTreeMap<u64, u64>) -> Option<Reading> {
        let page = |liobn| pages.get(&liobn).copied().unwrap_or(DEFAULT_PAGE);
        let event = match name {
            "spapr_iommu_put" | "spapr_iommu_pci_put" => {
                let liobn = self.number("liobn")?;
                let (ioba, tce) = (self.number("ioba")?, self.number("tce")?);
                Event::Install { liobn, ioba, count: 1, tce, page: page(liobn) }
            }
            "spapr_iommu_stuff" | "spapr_iommu_pci_stuff" => {
                let liobn = self.number("liobn")?;
                let (ioba, tce) = (self.number("ioba")?, self.number("tcevalue")?);
                Event::Install { liobn, ioba, count: self.number("npages")?, tce, page: page(liobn) }
            }
            "spapr_iommu_indirect" | "spapr_iommu_pci_indirect" => {
                Event::List { liobn: self.number("liobn")?, list: self.number("tcelist")? }
            }
            "spapr_iommu_xlate" => return self.translation(),
            _ => return Some(Reading::Nothing),
        };
        Some(if self.number("ret")? == 0 { Reading::Event(event) } else { Reading::Nothing })
    }

    /// `liobn=0x80000000 0x6000 -> 0x1e34e000 perm=3 mask=fff`; without permission the device got nothing.
    fn translation(self) -> Option<Reading> {
        let (before, after) = self.0.split_once(" -> ")?;
        let ioba = number(before.split_whitespace().last()?)?;
        let address = number(after.split_whitespace().next()?)?;
        let perm = self.number("perm")?;
        let mask = self.0.split_whitespace().last()?.strip_prefix("mask=")?;
        let mask = u64::from_str_radix(mask.trim_start_matches("0x"), 16).ok()?;
        if perm & PERMISSIONS == 0 {
            return Some(Reading::Nothing);
        }
        Some(Reading::Event(Event::Translate { ioba, address, page: mask.checked_add(1)? }))
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        // A refused call's status is negative: a number like any other, and not 0.
        None => text.parse::<i64>().ok().map(i64::cast_unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
spapr_iommu_new_table liobn=0x80000000 table=0x7f0db901b010 fd=-1
spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x1e374003 ret=0
spapr_iommu_xlate liobn=0x80000000 0x1002 -> 0x1e374000 perm=3 mask=0xfff
spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x0 ret=0
spapr_update_dt New blob 15000 bytes
123@1700000000.5:spapr_iommu_pci_put liobn=0x80000000 ioba=0x2000 tce=0x2000003 ret=0
spapr_iommu_pci_put liobn=0x80000000 ioba=0x3000 tce=0x9000003 ret=-4
spapr_iommu_pci_stuff liobn=0x80000000 ioba=0x4000 tcevalue=0x0 npages=512 ret=0
spapr_iommu_xlate liobn=0x80000000 0x5000 -> 0x0 perm=0 mask=0xfff
spapr_iommu_pci_indirect liobn=0x80000000 ioba=0x0 tcelist=0x30000 iobaN=0x1000 tceN=0x3 ret=0
";

    #[test]
    fn firmware_and_kernel_are_told_apart() {
        let trace = Trace::parse(LOG);
        assert_eq!(trace.firmware.len(), 3);
        assert_eq!(trace.firmware[1].reach(), Some((0x1e37_4000, 0x1000)));
        assert_eq!(
            trace.kernel,
            [
                Event::Install { liobn: 0x8000_0000, ioba: 0x2000, count: 1, tce: 0x200_0003, page: 0x1000 },
                Event::Install { liobn: 0x8000_0000, ioba: 0x4000, count: 512, tce: 0, page: 0x1000 },
                Event::List { liobn: 0x8000_0000, list: 0x3_0000 },
            ]
        );
        assert_eq!(trace.unread, [""; 0]);
    }

    #[test]
    fn cleared_entries_are_not_live() {
        let live = Trace::parse(LOG).live();
        assert_eq!(live.iter().map(Event::reach).collect::<Vec<_>>(), [Some((0x200_0000, 0x1000))]);
        assert_eq!(Trace::parse(LOG).left_by_firmware(), []);
    }

    #[test]
    fn a_window_made_later_has_its_own_page_size() {
        let trace = Trace::parse(
            "spapr_iommu_ddw_create buid=0x800000020000000 addr=0x0, page size 0x10000, requested=0x40000000, \
             start addr=0x800000000000000, liobn=0x80000001\n\
             spapr_iommu_pci_put liobn=0x80000001 ioba=0x800000000000000 tce=0x12340003 ret=0\n",
        );
        assert_eq!(trace.unread, [""; 0]);
        assert_eq!(trace.kernel[0].reach(), Some((0x1234_0000, 0x10000)));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_kept() {
        let line = "spapr_iommu_pci_put liobn=0x80000000 tce=0x3 ret=0";
        assert_eq!(Trace::parse(line).unread, [line]);
        assert_eq!(Trace::parse("spapr_iommu_ddw_create nothing").unread.len(), 1);
        assert_eq!(Trace::parse("spapr_iommu_xlate nothing").unread.len(), 1);
    }
}
