//! Exact values of real trees, one test a lie of the tree, and that no mutant makes the reading panic.

use super::{InterruptController, Machine, MachineError};
use crate::addr::{Gpa, GpaRange};
use crate::fdt::bridges::{Bridge, DdwTokens};
use crate::fdt::early::Entry;
use crate::fdt::fixtures::{
    Builder, POWER9_1G_NUMA, POWER9_64G, POWER9_256M, POWER9_512M_INITRD, POWER9_TWO_PHBS, POWER10_4G_SMP2,
    REAL, SLOF_512M_MARKER, VOF_512M,
};
use crate::fdt::guard::{Tree, private_copy};
use crate::fdt::warnings::Fault;
use crate::pci::windows::{Space, Window, WindowError};
use crate::tce::DmaWindow;
use postern_cases::case;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

const PHB: &str = "/pci@800000020000000";

fn range(start: u64, len: u64) -> GpaRange {
    GpaRange::new(Gpa(start), len).unwrap()
}

fn read(blob: &[u8]) -> Result<Machine, MachineError> {
    Machine::read(&Tree::check(blob).unwrap())
}

fn machine(blob: &[u8]) -> Machine {
    read(blob).unwrap()
}

fn cells(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A real tree in which one property of one node has another value, or is gone.
fn with(blob: &[u8], node: &str, name: &str, value: Option<&[u8]>) -> Vec<u8> {
    let mut found = false;
    let edited = Builder::edited(blob, |path, property, old| {
        if path == node && property == name {
            found = true;
            value.map(<[u8]>::to_vec)
        } else {
            Some(old.to_vec())
        }
    });
    assert!(found, "{node} has no {name}");
    edited
}

fn faults(machine: &Machine) -> Vec<Fault> {
    machine.warnings.list().iter().map(|warning| warning.fault.clone()).collect()
}

/// A tree of a machine with these nodes and one processor.
fn small(add: impl FnOnce(Builder) -> Builder) -> Vec<u8> {
    let root = Builder::new().node("").cells("#address-cells", &[2]).cells("#size-cells", &[2]);
    let cpus = root.node("cpus").node("PowerPC,POWER9@0").prop("device_type", b"cpu\0").cells("reg", &[0]);
    add(cpus.cells("timebase-frequency", &[512_000_000]).end().end()).end().blob()
}

fn memory(tree: Builder, name: &str, reg: &[u32]) -> Builder {
    tree.node(name).prop("device_type", b"memory\0").cells("reg", reg).end()
}

fn qemu_bridge() -> Bridge {
    let machine = machine(POWER9_256M);
    machine.bridges.first().unwrap().clone()
}

#[test]
fn power9_of_256_mib() {
    let machine = machine(POWER9_256M);
    assert_eq!(machine.warnings.list(), []);
    assert_eq!(machine.model, "IBM pSeries (emulated by qemu)");
    assert_eq!((machine.entry, machine.firmware, machine.hypervisor), (Entry::Fdt, None, None));
    assert_eq!(machine.memory, [range(0, 256 << 20)]);
    assert_eq!(machine.reserved, []);
    assert_eq!((machine.initrd, machine.bootargs.as_slice()), (None, &b""[..]));
    let terminal = machine.terminal.unwrap();
    assert_eq!((terminal.name.as_str(), terminal.number), ("vty@71000000", 0x7100_0000));
    assert_eq!(machine.cpus.servers, [0]);
    assert_eq!(machine.cpus.boot_server, 0);
    assert_eq!(machine.cpus.model, "POWER9");
    assert_eq!(machine.cpus.version, Some(0x4e_1200));
    assert_eq!(machine.cpus.cache_block, Some(128));
    assert_eq!(machine.cpus.vectors, Some(2));
    assert_eq!(machine.cpus.timebase_hz, 512_000_000);
    for (service, token) in [
        ("power-off", 0x2003),
        ("ibm,os-term", 0x201f),
        ("ibm,read-pci-config", 0x2016),
        ("ibm,write-pci-config", 0x2017),
        ("ibm,query-pe-dma-window", 0x2026),
    ] {
        assert_eq!(machine.rtas.token(service), Some(token));
    }
    assert_eq!(machine.rtas.token("rtas-size"), None);
    assert_eq!(machine.rtas.range, None);
    assert_eq!(machine.interrupts, Some(InterruptController::Xics));
    assert_eq!((machine.marker, machine.esm_base), (false, None));
    assert_eq!(machine.bridges.len(), 1);
}

#[test]
fn another_size_of_cache_blocks_is_read_and_none_is_made_up() {
    let block = |value: Option<&[u8]>| {
        machine(&with(POWER9_256M, "/cpus/PowerPC,POWER9@0", "d-cache-block-size", value)).cpus.cache_block
    };
    assert_eq!(block(Some(&cells(&[64]))), Some(64));
    assert_eq!(block(Some(&[0x80])), None, "no cell");
    assert_eq!(block(None), None);
}

#[test]
fn vectors_that_the_tree_does_not_offer_are_not_made_up() {
    let vectors = |value: Option<&[u8]>| {
        machine(&with(POWER9_256M, "/cpus/PowerPC,POWER9@0", "ibm,vmx", value)).cpus.vectors
    };
    assert_eq!(vectors(Some(&cells(&[1]))), Some(1));
    assert_eq!(vectors(None), None);
}

#[test]
fn the_default_bridge_of_qemu() {
    let bridge = qemu_bridge();
    assert_eq!(
        (bridge.name.as_str(), bridge.buid, bridge.buses),
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
    assert_eq!(bridge.dma, DmaWindow::new(0x8000_0000, 0, 1 << 30).unwrap());
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
fn power9_with_initrd_and_arguments() {
    let machine = machine(POWER9_512M_INITRD);
    assert_eq!(machine.bootargs, b"svm=emulated run=blk-digest");
    assert_eq!(machine.initrd, Some(range(0x42_0000, 0x1_1170)));
    assert_eq!(machine.reserved, [range(0x40_0000, 4), range(0x42_0000, 0x1_1170)]);
    assert_eq!(machine.memory, [range(0, 512 << 20)]);
    assert_eq!(machine.warnings.list(), []);
}

#[test]
fn numa_nodes_that_touch_are_one_region() {
    let machine = machine(POWER9_1G_NUMA);
    assert_eq!(machine.memory, [range(0, 1 << 30)]);
    assert_eq!(machine.cpus.servers, [0, 1]);
    assert_eq!(machine.warnings.list(), []);
}

#[test]
fn power10_with_two_processors() {
    let machine = machine(POWER10_4G_SMP2);
    assert_eq!(machine.memory, [range(0, 4 << 30)]);
    assert_eq!(machine.cpus.model, "POWER10");
    assert_eq!((machine.cpus.servers.as_slice(), machine.cpus.boot_server), (&[0, 1][..], 0));
    assert_eq!(machine.warnings.list(), []);
}

#[test]
fn sixty_four_gib() {
    assert_eq!(machine(POWER9_64G).memory_bytes(), 64 << 30);
}

#[test]
fn two_bridges_keep_their_own_windows() {
    let machine = machine(POWER9_TWO_PHBS);
    let [first, second] = machine.bridges.as_slice() else { panic!("{:?}", machine.bridges) };
    assert_eq!((first.dma.liobn(), second.dma.liobn()), (0x8000_0000, 0x8000_0100));
    assert_eq!(second.buid, 0x0800_0000_2000_0001);
    assert_eq!(second.windows[1].gpa, Gpa(0x2001_0000_0000));
    assert_eq!(machine.warnings.list(), []);
}

#[test]
fn firmware_leaves_its_name_rtas_and_the_marker() {
    let machine = machine(SLOF_512M_MARKER);
    assert_eq!((machine.entry, machine.firmware.as_deref()), (Entry::Slof, Some("SLOF,HEAD")));
    assert!(machine.marker);
    assert_eq!(machine.bootargs, b"svm=off");
    assert_eq!(machine.initrd, Some(range(0x68_0000, 0x1_1170)));
    assert_eq!(machine.rtas.range, Some(range(0x67_0000, 0x82c)));
    assert_eq!(
        machine.reserved,
        [range(0x40_0000, 0x27_0000), range(0x68_0000, 0x1_1170), range(0x67_0000, 0x82c)]
    );
    assert_eq!(machine.warnings.list(), []);
    let machine = self::machine(VOF_512M);
    assert_eq!((machine.entry, machine.firmware, machine.marker), (Entry::Vof, None, false));
    assert_eq!(machine.rtas.range, Some(range(0x6a_0000, 0x82c)));
    assert_eq!(machine.warnings.list(), []);
}

#[test]
fn whoever_hands_the_tree_over_the_hardware_is_the_same() {
    let raw = machine(POWER9_512M_INITRD);
    for blob in [SLOF_512M_MARKER, VOF_512M] {
        let other = machine(blob);
        assert_eq!(other.model, raw.model);
        assert_eq!(other.memory, raw.memory);
        assert_eq!(other.cpus, raw.cpus);
        assert_eq!(other.bridges, raw.bridges);
        assert_eq!(other.terminal, raw.terminal);
        assert_eq!(other.interrupts, raw.interrupts);
        assert_eq!(other.rtas.token("ibm,os-term"), raw.rtas.token("ibm,os-term"));
    }
}

#[test]
fn dt_07_the_machine_does_not_point_into_the_tree() {
    case!("DT-07", Ignore);
    let mut blob = POWER9_512M_INITRD.to_vec();
    let machine = machine(&blob);
    blob.fill(0xff);
    assert_eq!(machine, self::machine(POWER9_512M_INITRD));
}

#[test]
fn dt_08_bad_cells_and_short_reg_skip_the_node() {
    case!("DT-08", Ignore);
    for count in [0, 3, 5, u32::MAX] {
        let blob = Builder::edited(POWER9_256M, |path, name, value| {
            let root_cells = path.is_empty() && name == "#address-cells";
            Some(if root_cells { cells(&[count]) } else { value.to_vec() })
        });
        assert_eq!(read(&blob), Err(MachineError::NoMemory), "{count}");
    }
    for reg in [&[][..], &[0; 3], &[0; 12], &[0; 17]] {
        let blob = small(|tree| {
            let odd = tree.node("memory@1").prop("device_type", b"memory\0").prop("reg", reg).end();
            memory(odd, "memory@0", &[0, 0, 0, 0x1000_0000])
        });
        let machine = machine(&blob);
        assert_eq!(machine.memory, [range(0, 0x1000_0000)]);
        assert!(faults(&machine).contains(&Fault::Malformed("reg")));
    }
}

#[test]
fn dt_09_memory_that_overlaps_wraps_or_is_empty_is_left_out() {
    case!("DT-09", Ignore);
    let blob = small(|tree| {
        let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
        let tree = memory(tree, "memory@1", &[0, 0x0800_0000, 0, 0x1000_0000]);
        let tree = memory(tree, "memory@2", &[u32::MAX, 0xffff_0000, 0, 0x1000_0000]);
        let tree = memory(tree, "memory@3", &[0, 0x4000_0000, 0, 0]);
        memory(tree, "memory@4", &[0, 0x2000_0000, 0, 0x1000_0000, 0, 0x4000_0000, 0x10_0000, 0])
    });
    let machine = machine(&blob);
    assert_eq!(machine.memory, [range(0, 0x1000_0000), range(0x2000_0000, 0x1000_0000)]);
    let odd = faults(&machine);
    assert_eq!(odd[0], Fault::Overlaps { start: 0x0800_0000, len: 0x1000_0000 });
    assert_eq!(odd[1], Fault::Wraps { start: 0xffff_ffff_ffff_0000, len: 0x1000_0000 });
    assert_eq!(odd[2], Fault::Empty);
    assert_eq!(odd[3], Fault::Wraps { start: 0x4000_0000, len: 1 << 52 });
}

#[test]
fn dt_09_a_machine_needs_memory_and_some_at_zero() {
    case!("DT-09", Halt);
    assert_eq!(read(&small(|tree| tree)), Err(MachineError::NoMemory));
    let blob = small(|tree| memory(tree, "memory@1", &[0, 0x1000_0000, 0, 0x1000_0000]));
    assert_eq!(read(&blob), Err(MachineError::NoMemoryAtZero(0x1000_0000)));
}

#[test]
fn dt_10_of_two_equal_memory_nodes_the_first_counts() {
    case!("DT-10", Ignore);
    let blob = small(|tree| {
        let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
        memory(tree, "memory@0", &[0, 0, 0, 0x7000_0000])
    });
    assert_eq!(machine(&blob).memory, [range(0, 0x1000_0000)]);
}

#[test]
fn dt_10_without_chosen_the_first_terminal_and_no_arguments() {
    case!("DT-10", Fallback);
    let blob = small(|tree| {
        let tree = memory(tree, "memory", &[0, 0, 0, 0x1000_0000]);
        let tree = tree.node("vdevice").node("vty@30000000").prop("compatible", b"hvterm-protocol\0").end();
        let tree = tree.node("vty@30000001").prop("compatible", b"hvterm1\0").cells("reg", &[0x3000_0001]);
        tree.end().end()
    });
    let machine = machine(&blob);
    assert_eq!(machine.terminal.map(|terminal| terminal.number), Some(0x3000_0001));
    assert_eq!(machine.bootargs, b"");
}

#[test]
fn dt_10_long_arguments_are_cut_where_the_parser_refuses_them() {
    let long = vec![b'x'; 65_536];
    let blob = with(POWER9_512M_INITRD, "/chosen", "bootargs", Some(&long));
    let machine = machine(&blob);
    assert_eq!(machine.bootargs.len(), crate::cmdline::MAX_LINE + 1);
    assert_eq!(crate::cmdline::parse(&machine.bootargs).errors.len(), 1);
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
fn a_bridge_without_what_it_needs_is_refused_by_name() {
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

#[test]
fn dt_15_a_terminal_that_is_none_leaves_the_boot_without_console() {
    case!("DT-15", Fallback);
    let nowhere = with(POWER9_256M, "/chosen", "stdout-path", Some(b"/vdevice/vty@99\0"));
    let found = machine(&nowhere);
    assert_eq!(found.terminal.as_ref().map(|terminal| terminal.number), Some(0x7100_0000));
    assert_eq!(faults(&found), [Fault::Dangling("stdout-path")]);
    for reg in [&[][..], &[1, 2, 3], &[0; 8]] {
        let machine = machine(&with(POWER9_256M, "/vdevice/vty@71000000", "reg", Some(reg)));
        assert_eq!(machine.terminal, None);
        assert!(faults(&machine).contains(&Fault::Missing("hvterm1")));
    }
}

#[test]
fn dt_17_reservations_that_wrap_reach_to_the_end() {
    case!("DT-17", Fallback);
    let blob = small(|tree| memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).reserve(0x100_0000, u64::MAX));
    let machine = machine(&blob);
    assert_eq!(machine.reserved, [range(0x100_0000, u64::MAX - 0x100_0000)]);
    assert_eq!(faults(&machine)[0], Fault::Wraps { start: 0x100_0000, len: u64::MAX });
}

#[test]
fn reserved_memory_is_honoured_and_never_skipped() {
    let reserving = |reg: &[u32]| {
        small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).node("reserved-memory");
            let tree = tree.cells("#address-cells", &[2]).cells("#size-cells", &[2]).node("later").end();
            tree.node("log@1000000").cells("reg", reg).end().end()
        })
    };
    assert_eq!(machine(&reserving(&[0, 0x100_0000, 0, 0x1_0000])).reserved, [range(0x100_0000, 0x1_0000)]);
    assert_eq!(read(&reserving(&[0, 0x100_0000, 0])), Err(MachineError::MalformedReservation));
    let many = (0..513).fold(Builder::new(), |tree, n| tree.reserve(n << 16, 0x1000));
    let many =
        memory(many.node("").cells("#size-cells", &[2]), "memory@0", &[0, 0, 0, 0x1000_0000]).end().blob();
    assert_eq!(read(&many), Err(MachineError::TooManyReservations(512)));
}

#[test]
fn an_initrd_that_is_not_memory_is_left_out() {
    let end = |value: u32| {
        machine(&with(POWER9_512M_INITRD, "/chosen", "linux,initrd-end", Some(&cells(&[value]))))
    };
    assert_eq!(end(0x42_0000).initrd, None);
    assert_eq!(end(0).initrd, None);
    let machine = end(0x2000_0001);
    assert_eq!(machine.initrd, None);
    assert_eq!(faults(&machine), [Fault::OutsideMemory { start: 0x42_0000, len: 0x1fbe_0001 }]);
    let wide = with(POWER9_512M_INITRD, "/chosen", "linux,initrd-end", Some(&cells(&[0, 0x43_0000])));
    assert_eq!(self::machine(&wide).initrd, Some(range(0x42_0000, 0x1_0000)));
}

#[test]
fn a_machine_needs_a_processor_with_a_clock() {
    let cpu = "/cpus/PowerPC,POWER9@0";
    let timebase = |value| read(&with(POWER9_256M, cpu, "timebase-frequency", value));
    assert_eq!(timebase(None), Err(MachineError::NoTimebase));
    assert_eq!(timebase(Some(&[0; 4])), Err(MachineError::NoTimebase));
    assert_eq!(timebase(Some(&[0; 5])), Err(MachineError::NoTimebase));
    assert_eq!(timebase(Some(&cells(&[1, 0]))).unwrap().cpus.timebase_hz, 1 << 32);
    assert_eq!(read(&with(POWER9_256M, cpu, "device_type", Some(b"gpu\0"))), Err(MachineError::NoCpu));
    let found = machine(&with(POWER9_256M, cpu, "ibm,ppc-interrupt-server#s", Some(&cells(&[8]))));
    assert_eq!((found.cpus.boot_server, faults(&found)), (8, vec![Fault::Dangling("boot_cpuid_phys")]));
}

#[test]
fn rtas_that_firmware_instantiated_is_taken() {
    let rtas = |base: u32| {
        let size = small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).node("rtas");
            tree.cells("linux,rtas-base", &[base]).cells("rtas-size", &[0x82c]).end()
        });
        machine(&size)
    };
    assert_eq!(rtas(0x0ff0_0000).taken().collect::<Vec<_>>(), [range(0x0ff0_0000, 0x82c)]);
    assert_eq!(rtas(0x1000_0000).rtas.range, None);
}

#[test]
fn texts_of_the_tree_cannot_disturb_a_terminal() {
    let odd = [b"\x1b[2J".as_slice(), &[b'x'; 100], b"\0"].concat();
    let model = machine(&with(POWER9_256M, "", "model", Some(&odd))).model;
    assert!(model.starts_with("?[2Jxxx") && model.len() == 64, "{model}");
    let blob = small(|tree| memory(memory(tree, "memory@0", &[0, 0, 0, 1]), "memory@\u{1b}", &[0, 0, 0, 0]));
    let warning = machine(&blob).warnings.list()[0].to_string();
    assert_eq!(warning, "device tree: memory@?: range of no bytes");
}

#[test]
fn warnings_are_bounded() {
    let blob = small(|tree| {
        (0..50).fold(memory(tree, "memory", &[0, 0, 0, 4096]), |tree, _| memory(tree, "m", &[]))
    });
    let warnings = machine(&blob).warnings;
    // One for each of the odd nodes, and that there is neither RTAS nor a terminal.
    assert_eq!(warnings.list().len() + warnings.left_out(), 52);
    assert_eq!(warnings.list().len(), 32);
}

/// Another value for a property: cut, longer, or with other words.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![any::<u32>(), 0_u32..6, Just(u32::MAX), Just(0x8000_0000), Just(0xffff_f000)];
    prop_oneof![
        proptest::collection::vec(word, 0..9).prop_map(|words| cells(&words)),
        proptest::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn trees_with_other_values_never_panic(which in 0..REAL.len(), one_in in 1_u32..40, seed in any::<u32>(), new in value()) {
        let mut turn = seed;
        let blob = Builder::edited(REAL[which], |_, _, old| {
            turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let change = (turn >> 8) % one_in == 0 && !(old.len() == 4 && new.len() != 4);
            Some(if change { new.clone() } else { old.to_vec() })
        });
        if let Ok(machine) = Tree::check(&blob).map(|tree| Machine::read(&tree)).unwrap_or(Err(MachineError::NoCpu)) {
            assert!(machine.memory.windows(2).all(|pair| pair[0].end() < pair[1].start));
            assert!(machine.bridges.iter().all(|bridge| bridge.dma.size() >= 4096));
        }
    }

    #[test]
    fn mutants_of_real_trees_never_panic(
        which in 0..REAL.len(), changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)
    ) {
        let mut blob = REAL[which].to_vec();
        for (place, byte) in changes {
            let at = usize::from(place) * blob.len() / 0x1_0000;
            blob[at] = byte;
        }
        if let Ok(copy) = private_copy(&blob)
            && let Ok(tree) = Tree::check(&copy)
        {
            let _ = Machine::read(&tree);
        }
    }
}
