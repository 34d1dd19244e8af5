//! Host bridges of real trees, and the faults for which a bridge is refused.

use super::{cells, faults, machine, with};
use crate::bridges::{Bridge, DdwTokens};
use crate::warnings::Fault;
use papr::addr::Gpa;
use papr::host_bridge::{DmaWindowSpec, Space, Window, WindowError};
use postern_cases::case;
use std::string::ToString;
use testkit::trees::{POWER9_256M, POWER9_TWO_PHBS};

const PHB: &str = "/pci@800000020000000";

fn qemu_bridge() -> Bridge {
    let machine = machine(POWER9_256M);
    machine.bridges.first().unwrap().clone()
}

#[test]
fn the_default_bridge_of_qemu() {
    let bridge = qemu_bridge();
    assert_eq!(
        (bridge.name.to_string().as_str(), bridge.buid, bridge.buses),
        ("pci@800000020000000", 0x0800_0000_2000_0000, (0, 255))
    );
    let window = |space, bus, gpa, len| Window { space, bus, gpa: Gpa(gpa), len };
    assert_eq!(
        bridge.windows,
        [
            window(Space::Io, 0, 0x2000_0000_0000, 0x1_0000),
            window(Space::Memory32, 0x8000_0000, 0x2000_8000_0000, 0x8000_0000),
            window(Space::Memory64, 0x2100_0000_0000, 0x2100_0000_0000, 0x100_0000_0000),
        ]
    );
    assert_eq!(bridge.dma, DmaWindowSpec::new(0x8000_0000, 0, 1 << 30).unwrap());
    assert_eq!(bridge.ddw, Some(DdwTokens { query: 0x2026, create: 0x2027, remove: 0x2028 }));
}

#[test]
fn interrupt_pins_lead_to_their_sources() {
    let map = qemu_bridge().interrupts;
    assert_eq!(map.source(0, 0, 1), Some(0x1200));
    assert_eq!(map.source(0, 0, 4), Some(0x1203));
    assert_eq!(map.source(1, 0, 1), Some(0x1201));
    assert_eq!(map.source(1, 7, 4), Some(0x1200));
    assert_eq!(map.source(31, 0, 1), Some(0x1203));
    assert_eq!(map.source(0, 0, 0), None);
    assert_eq!(map.source(0, 0, 5), None);
}

#[test]
fn two_bridges_keep_their_own_windows() {
    let machine = machine(POWER9_TWO_PHBS);
    let [first, second] = machine.bridges.as_slice() else { panic!("{:?}", machine.bridges) };
    assert_eq!((first.dma.liobn(), second.dma.liobn()), (0x8000_0000, 0x8000_0100));
    assert_eq!(second.buid, 0x0800_0000_2000_0001);
    assert_eq!(second.windows[1].gpa, Gpa(0x2001_0000_0000));
    assert_eq!((first.domain, second.domain), (0, 1));
    assert_eq!(machine.warnings.list(), []);
}

#[test]
fn host_bridges_with_the_same_low_buid_bits_have_different_numbers() {
    // A BUID of another upper half, and the same low 16 bits as the first bridge's.
    let reg = cells(&[0x900_0000, 0x2000_0000, 0, 0]);
    let machine = machine(&with(POWER9_TWO_PHBS, "/pci@800000020000001", "reg", Some(&reg)));
    let [first, second] = machine.bridges.as_slice() else { panic!("{:?}", machine.bridges) };
    assert_eq!((first.buid, second.buid), (0x0800_0000_2000_0000, 0x0900_0000_2000_0000));
    assert_eq!((first.domain, second.domain), (0, 1));
}

#[test]
fn dt_14_a_dma_window_that_wraps_or_is_empty_refuses_the_bridge() {
    case!("DT-14", Refuse);
    let dma = |words: &[u32]| machine(&with(POWER9_256M, PHB, "ibm,dma-window", Some(&cells(words))));
    for (words, base, size) in [
        ([1, 0, 0, 0, 0], 0, 0),
        ([1, u32::MAX, 0xffff_f000, 0, 0x1000], 0xffff_ffff_ffff_f000, 0x1000),
        ([1, 0, 0, 0, 0x800], 0, 0x800),
        ([1, 0, 0x800, 0, 0x1000], 0x800, 0x1000),
    ] {
        let machine = dma(&words);
        assert_eq!(machine.bridges, []);
        assert_eq!(faults(&machine), [Fault::DmaWindow { base, size }]);
    }
    for words in [&[][..], &[1], &[1, 0, 0, 0], &[1, 0, 0, 0, 0x1000, 0]] {
        let machine = dma(words);
        assert_eq!(machine.bridges, []);
        assert_eq!(faults(&machine), [Fault::Malformed("ibm,dma-window")]);
    }
}

#[test]
fn dt_14_bridges_that_share_a_table_are_not_both_used() {
    case!("DT-14", Refuse);
    let second = "/pci@800000020000001";
    let window = cells(&[0x8000_0000, 0, 0, 0, 0x4000_0000]);
    let machine = machine(&with(POWER9_TWO_PHBS, second, "ibm,dma-window", Some(&window)));
    assert_eq!(machine.bridges.len(), 1);
    assert_eq!(faults(&machine), [Fault::Shared { what: "LIOBN", number: 0x8000_0000 }]);
    let reg = cells(&[0x800_0000, 0x2000_0000, 0, 0]);
    let machine = self::machine(&with(POWER9_TWO_PHBS, second, "reg", Some(&reg)));
    assert_eq!(faults(&machine), [Fault::Shared { what: "BUID", number: 0x0800_0000_2000_0000 }]);
}

#[test]
fn windows_over_memory_or_over_another_bridges_refuse_the_bridge() {
    case!("BAR-05", Refuse);
    let over_memory = cells(&[0x0200_0000, 0, 0x8000_0000, 0, 0x0100_0000, 0, 0x1000_0000]);
    let machine = machine(&with(POWER9_256M, PHB, "ranges", Some(&over_memory)));
    assert!(matches!(faults(&machine)[..], [Fault::Windows(WindowError::OverMemory(_))]));
    let same = cells(&[0x0200_0000, 0, 0x8000_0000, 0x2000, 0x8000_0000, 0, 0x8000_0000]);
    let machine = self::machine(&with(POWER9_TWO_PHBS, "/pci@800000020000001", "ranges", Some(&same)));
    assert!(matches!(faults(&machine)[..], [Fault::Windows(WindowError::Overlap(..))]));
    assert_eq!(machine.bridges.len(), 1);
}

#[test]
fn a_bridge_without_a_required_property_is_refused_by_name() {
    for name in ["reg", "ranges", "ibm,dma-window"] {
        let machine = machine(&with(POWER9_256M, PHB, name, None));
        assert_eq!(machine.bridges, []);
        assert_eq!(faults(&machine), [Fault::Missing(name)]);
        let machine = self::machine(&with(POWER9_256M, PHB, name, Some(&[0; 3])));
        assert_eq!(faults(&machine), [Fault::Malformed(name)]);
    }
    let machine = machine(&with(POWER9_256M, PHB, "ibm,ddw-applicable", None));
    assert_eq!(machine.bridges[0].ddw, None);
}
