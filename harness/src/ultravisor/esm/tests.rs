use super::super::fdt::tests::Builder;
use super::super::image::tests::elf;
use super::super::scratch::ScratchRam;
use super::*;

pub(in crate::ultravisor) const BASE: u64 = 0x40_0000;
pub(in crate::ultravisor) const TREE: u64 = 0x80_0000;
pub(in crate::ultravisor) const RAM: u64 = 64 << 20;
const INITRD: u64 = 0x60_0000;

/// A tree that meets everything, without the properties named.
pub(in crate::ultravisor) fn tree(without: &[&str], reserved: &[(u64, u64)]) -> Vec<u8> {
    let mut builder = Builder::default().begin("");
    let cell = |builder: Builder, name: &str, cells: &[u32]| {
        if without.contains(&name) { builder } else { builder.cells(name, cells) }
    };
    builder = cell(builder, "#address-cells", &[2]);
    builder = cell(builder, "#size-cells", &[2]);
    builder = builder.begin("memory@0");
    builder = cell(builder, "reg", &[0, 0, 0, RAM as u32]).end();
    builder = builder.begin("cpus").begin("PowerPC,POWER9@0").bytes("device_type", b"cpu\0");
    builder = cell(builder, "ibm,ppc-interrupt-server#s", &[0]).end().end();
    builder = builder.begin("rtas");
    for property in
        ["linux,rtas-base", "rtas-size", "slof,rtas-size", "ibm,lrdr-capacity"].into_iter().chain(RTAS_TOKENS)
    {
        builder = cell(builder, property, &[0x2000]);
    }
    builder = builder.end().begin("chosen");
    if !without.contains(&"bootargs") {
        builder = builder.bytes("bootargs", b"svm=on\0");
    }
    builder = cell(builder, "linux,initrd-start", &[INITRD as u32]);
    builder = cell(builder, "linux,initrd-end", &[INITRD as u32 + 6]);
    builder.end().end().finish(reserved)
}

fn image() -> KernelImage {
    KernelImage::parse(&elf(&[(0, b"kernel")])).expect("image")
}

fn guest(tree: &[u8]) -> ScratchRam {
    let ram = ScratchRam::new(RAM);
    ram.write(BASE, b"kernel").expect("write");
    ram.write(INITRD, b"initrd").expect("write");
    ram.write(TREE, tree).expect("write");
    ram
}

#[test]
fn a_complete_tree_is_measured_and_gets_ten_reservations() {
    let ram = guest(&tree(&[], &[(0x1000, 0x1000)]));
    let report = enter(&ram, &image(), Firmware::Slof, BASE, TREE).expect("enter");
    assert!(report.succeeded(), "{report}");
    assert!(report.kernel.is_equal());
    assert_eq!(report.bootargs_sha512, Some(sha512(b"svm=on")));
    assert_eq!(report.initrd_sha512, Some(sha512(b"initrd")));
    let expected: Vec<u64> = (1..=10).map(|n| RAM - n * FRAME_SIZE).collect();
    assert_eq!(report.reserved, expected);
    let after = read_tree(&ram, TREE).expect("read").expect("tree");
    assert_eq!(after.reserved.len(), 11);
    assert_eq!(after.reserved[0], (0x1000, 0x1000));
    assert_eq!(after.reserved[10], (RAM - 10 * FRAME_SIZE, FRAME_SIZE));
}

#[test]
fn reservations_that_were_there_are_stepped_over() {
    let taken = (RAM - 3 * FRAME_SIZE - 0x800, 0x1000);
    let ram = guest(&tree(&[], &[taken]));
    let report = enter(&ram, &image(), Firmware::Slof, BASE, TREE).expect("enter");
    assert_eq!(report.reserved[..2], [RAM - FRAME_SIZE, RAM - 2 * FRAME_SIZE]);
    assert_eq!(report.reserved[2], RAM - 5 * FRAME_SIZE);
    assert_eq!(report.reserved.len(), 10);
}

#[test]
fn each_missing_property_is_named_and_refuses_the_call() {
    let place = ["linux,rtas-base", "rtas-size", "slof,rtas-size", "ibm,lrdr-capacity"];
    for property in place.into_iter().chain(RTAS_TOKENS) {
        let ram = guest(&tree(&[property], &[]));
        let before = ram.read(TREE, 0x1000).expect("read");
        let report = enter(&ram, &image(), Firmware::Slof, BASE, TREE).expect("enter");
        assert_eq!(report.unmet, [Requirement::Rtas(property)]);
        assert!(!report.succeeded());
        assert_eq!(ram.read(TREE, 0x1000).expect("read"), before, "a refused call leaves the tree alone");
    }
    let unmet = |without: &str| {
        let ram = guest(&tree(&[without], &[]));
        enter(&ram, &image(), Firmware::Slof, BASE, TREE).expect("enter").unmet
    };
    assert_eq!(unmet("#size-cells"), [Requirement::RootCells]);
    assert_eq!(unmet("reg"), [Requirement::Memory0]);
    assert_eq!(unmet("ibm,ppc-interrupt-server#s"), [Requirement::Cpus, Requirement::BootCpu(0)]);
    assert_eq!(unmet("bootargs"), [Requirement::Chosen("bootargs")]);
    assert_eq!(unmet("linux,initrd-end"), [Requirement::Chosen("linux,initrd-end")]);
}

#[test]
fn what_a_firmware_cannot_have_is_named_and_passes() {
    let without = ["linux,rtas-base", "slof,rtas-size"];
    let enter =
        |firmware| enter(&guest(&tree(&without, &[])), &image(), firmware, BASE, TREE).expect("enter");
    let both = [Requirement::Rtas("linux,rtas-base"), Requirement::Rtas("slof,rtas-size")];
    let bios = enter(Firmware::Bios);
    assert!(bios.succeeded());
    assert_eq!(bios.waived, both);
    let vof = enter(Firmware::Vof);
    assert!(!vof.succeeded());
    assert_eq!((vof.waived, vof.unmet), (vec![both[1].clone()], vec![both[0].clone()]));
    assert_eq!(enter(Firmware::Slof).unmet, both);
}

#[test]
fn a_tree_that_is_none_is_refused() {
    let enter = |tree: &[u8], at| {
        let ram = guest(&[]);
        ram.write(at, tree).expect("write");
        enter(&ram, &image(), Firmware::Slof, BASE, at).expect("enter").unmet
    };
    assert_eq!(enter(&[0; 8], TREE), [Requirement::WellFormed(FdtError::Magic(0))]);
    let mut huge = tree(&[], &[]);
    huge[4..8].copy_from_slice(&0x10_0001u32.to_be_bytes());
    assert_eq!(enter(&huge, TREE), [Requirement::Size(0x10_0001)]);
    let good = tree(&[], &[]);
    assert_eq!(enter(&good[..8], RAM - 8), [Requirement::TreeInRam]);
    assert_eq!(enter(&[], RAM), [Requirement::TreeInRam]);
}

#[test]
fn no_room_below_the_top_is_a_refusal() {
    let ram = guest(&tree(&[], &[(0x1000, RAM - 0x1000)]));
    let report = enter(&ram, &image(), Firmware::Slof, BASE, TREE).expect("enter");
    assert_eq!(report.unmet, [Requirement::RoomForReservations]);
}

#[test]
fn the_real_mode_area_ends_at_768_mib() {
    let mut reserved = Vec::new();
    let frames = free_frames(&mut reserved, RMO_LIMIT).expect("room");
    assert_eq!(frames[0], RMO_LIMIT - FRAME_SIZE);
    assert!(frames.windows(2).all(|pair| pair[0] == pair[1] + FRAME_SIZE));
}
