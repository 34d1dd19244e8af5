//! Exact values of real trees.

use super::{cells, machine, memory, range, small, with};
use crate::early::Entry;
use crate::machine::InterruptController;
use papr::text::HostText;
use postern_cases::case;
use std::string::ToString;
use testkit::trees::{
    POWER9_1G_NUMA, POWER9_64G, POWER9_256M, POWER9_512M_INITRD, POWER10_4G_SMP2, SLOF_512M_MARKER, VOF_512M,
};

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
    assert_eq!((terminal.name.to_string().as_str(), terminal.number), ("vty@71000000", 0x7100_0000));
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
fn the_cache_block_size_is_read_and_has_no_default() {
    let block = |value: Option<&[u8]>| {
        machine(&with(POWER9_256M, "/cpus/PowerPC,POWER9@0", "d-cache-block-size", value)).cpus.cache_block
    };
    assert_eq!(block(Some(&cells(&[64]))), Some(64));
    assert_eq!(block(Some(&[0x80])), None, "no cell");
    assert_eq!(block(None), None);
}

#[test]
fn vectors_are_known_only_if_the_tree_offers_them() {
    let vectors = |value: Option<&[u8]>| {
        machine(&with(POWER9_256M, "/cpus/PowerPC,POWER9@0", "ibm,vmx", value)).cpus.vectors
    };
    assert_eq!(vectors(Some(&cells(&[1]))), Some(1));
    assert_eq!(vectors(None), None);
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
fn firmware_leaves_its_name_rtas_and_the_marker() {
    let machine = machine(SLOF_512M_MARKER);
    assert_eq!((machine.entry, machine.firmware), (Entry::Slof, Some(HostText::new(b"SLOF,HEAD"))));
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
fn trees_of_all_firmwares_describe_the_same_hardware() {
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
fn rtas_that_firmware_instantiated_is_known() {
    let rtas = |base: u32| {
        let size = small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).node("rtas");
            tree.cells("linux,rtas-base", &[base]).cells("rtas-size", &[0x82c]).end()
        });
        machine(&size)
    };
    assert_eq!(rtas(0x0ff0_0000).rtas.range, Some(range(0x0ff0_0000, 0x82c)));
    assert_eq!(rtas(0x1000_0000).rtas.range, None);
}
