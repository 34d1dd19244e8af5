//! Each limit: as many as are read, and one more. docs/limits.md has the reasons.

use super::{cells, faults, machine, memory, small};
use crate::warnings::Fault;
use std::borrow::ToOwned;
use std::string::ToString;
use std::vec::Vec;
use testkit::trees::Builder;

/// A machine with so many regions of memory that do not touch.
fn with_regions(count: u32) -> Vec<u8> {
    small(|tree| (0..count).fold(tree, |tree, n| memory(tree, "memory", &[0, n << 20, 0, 0x1_0000])))
}

#[test]
fn a_memory_region_beyond_the_limit_is_left_out_by_name() {
    for (count, read) in [(127, 127), (128, 128), (129, 128)] {
        let machine = machine(&with_regions(count));
        assert_eq!(machine.memory.len(), read);
        let named = faults(&machine).contains(&Fault::Malformed("number of regions"));
        assert_eq!(named, count > 128, "{count}");
    }
}

#[test]
fn a_reservation_beyond_the_limit_ends_the_boot() {
    let with = |count: u64| {
        let tree = (0..count).fold(Builder::new(), |tree, n| tree.reserve(n << 16, 0x1000));
        let tree = tree.node("").cells("#address-cells", &[2]).cells("#size-cells", &[2]);
        let tree =
            tree.node("cpus").node("PowerPC,POWER9@0").prop("device_type", b"cpu\0").cells("reg", &[0]);
        let tree = tree.cells("timebase-frequency", &[512_000_000]).end().end();
        memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).end().blob()
    };
    assert_eq!(machine(&with(512)).reserved.len(), 512);
    assert_eq!(super::read(&with(513)), Err(super::MachineError::TooManyReservations(512)));
}

#[test]
fn a_hardware_thread_beyond_the_limit_is_ignored() {
    for (count, read) in [(4096, 4096), (4097, 4096)] {
        let threads: Vec<u32> = (1..=count).collect();
        let blob = small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
            let tree = tree.node("more").node("PowerPC,POWER9@1").prop("device_type", b"cpu\0");
            tree.prop("ibm,ppc-interrupt-server#s", &cells(&threads)).end().end()
        });
        let blob = Builder::edited(&blob, |path, name, value| {
            let list = path == "/cpus/PowerPC,POWER9@0" && name == "reg";
            Some(if list { cells(&threads) } else { value.to_vec() })
        });
        assert_eq!(machine(&blob).cpus.servers.len(), read as usize);
    }
}

#[test]
fn a_host_bridge_beyond_the_limit_is_counted_and_not_read() {
    for (count, looked_at) in [(32, 32), (33, 32)] {
        let blob = small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]);
            (0..count).fold(tree, |tree, _| {
                let bridge = tree.node("pci").prop("device_type", b"pci\0");
                bridge.prop("compatible", b"IBM,Logical_PHB\0").end()
            })
        });
        let machine = machine(&blob);
        // None of them has what a bridge needs. Besides, there is neither RTAS nor a terminal.
        let warnings = machine.warnings.list().len() + machine.warnings.left_out();
        assert_eq!((machine.bridges_left_out, warnings), (count, looked_at + 2));
    }
}

#[test]
fn a_virtual_device_beyond_the_limit_is_counted() {
    for (count, kept, left_out) in [(31, 31, 0), (32, 32, 0), (33, 32, 1)] {
        let blob = small(|tree| {
            let tree = memory(tree, "memory@0", &[0, 0, 0, 0x1000_0000]).node("vdevice");
            let tree = tree.node("nvram@71000000").prop("compatible", b"qemu,spapr-nvram\0").end();
            let tree = tree.node("vty@71000001").prop("compatible", b"hvterm1\0").cells("reg", &[7]).end();
            let add = |tree: Builder, n: u32| {
                tree.node(&std::format!("l-lan@{n:x}")).prop("compatible", b"IBM,l-lan\0").end()
            };
            (0..count).fold(tree, add).end()
        });
        let machine = machine(&blob);
        assert_eq!((machine.virtual_devices.len(), machine.virtual_devices_left_out), (kept, left_out));
        let first =
            machine.virtual_devices.first().map(|device| (device.name.to_string(), device.kind.to_string()));
        assert_eq!(first, Some(("l-lan@0".to_owned(), "IBM,l-lan".to_owned())));
    }
}
