use super::super::fdt::Fdt;
use super::super::fdt::tests::Builder;
use super::super::frames::{FRAME_SIZE, FrameState, ShareMap};
use super::super::image::tests::elf;
use super::super::image::{KernelImage, sha512};
use super::super::scratch::ScratchRam;
use super::tree::RTAS_TOKENS;
use super::*;

pub(crate) const BASE: u64 = 0x40_0000;
pub(crate) const TREE: u64 = 0x80_0000;
pub(crate) const RAM: u64 = 64 << 20;
pub(crate) const INITRD: u64 = 0x60_0000;
pub(crate) const RTAS_BASE: u64 = 0x70_0000;
/// The text that SLOF installs, in the bytes of svm-tools' constant.
pub(crate) const RTAS_TEXT: [u8; 20] =
    [0x7c, 0x64, 0x1b, 0x78, 0x3c, 0x60, 0, 0, 0x60, 0x63, 0xf0, 0, 0x44, 0, 0, 0x22, 0x4e, 0x80, 0, 0x20];

/// The values of a tree that tests change.
#[derive(Clone, Copy)]
pub(crate) struct Says<'a> {
    pub(crate) without: &'a [&'a str],
    pub(crate) reserved: &'a [(u64, u64)],
    pub(crate) root_cells: u32,
    pub(crate) capacity: &'a [u32],
    pub(crate) servers: &'a [u32],
    pub(crate) boot_cpu: u32,
    pub(crate) memory: u64,
    pub(crate) initrd: u32,
}

impl Default for Says<'_> {
    fn default() -> Self {
        Self {
            without: &[],
            reserved: &[],
            root_cells: 2,
            // Four cells of address and size, then the cores.
            capacity: &[0, 0, 0, 0x1000_0000, 1],
            servers: &[0],
            boot_cpu: 0,
            memory: RAM,
            initrd: 6,
        }
    }
}

/// A tree that meets all requirements, without the named properties.
pub(crate) fn tree(without: &[&str], reserved: &[(u64, u64)]) -> Vec<u8> {
    tree_that(Says { without, reserved, ..Says::default() })
}

pub(crate) fn tree_that(says: Says<'_>) -> Vec<u8> {
    let mut builder = Builder::default().begin("");
    let cell = |builder: Builder, name: &str, cells: &[u32]| {
        if says.without.contains(&name) { builder } else { builder.cells(name, cells) }
    };
    builder = cell(builder, "#address-cells", &[says.root_cells]);
    builder = cell(builder, "#size-cells", &[2]);
    builder = builder.begin("memory@0");
    let size = [(says.memory >> 32) as u32, says.memory as u32];
    builder = cell(builder, "reg", &[0, 0, size[0], size[1]]).end();
    if !says.without.contains(&"cpu") {
        builder = builder.begin("cpus").begin("PowerPC,POWER9@0").bytes("device_type", b"cpu\0");
        builder = cell(builder, "ibm,ppc-interrupt-server#s", says.servers).end().end();
    }
    builder = builder.begin("rtas");
    for property in RTAS_TOKENS {
        builder = cell(builder, property, &[0x2000]);
    }
    builder = cell(builder, "linux,rtas-base", &[RTAS_BASE as u32]);
    builder = cell(builder, "rtas-size", &[0x1_2000]);
    builder = cell(builder, "slof,rtas-size", &[RTAS_TEXT.len() as u32]);
    builder = cell(builder, "ibm,lrdr-capacity", says.capacity);
    builder = builder.end().begin("chosen");
    if !says.without.contains(&"bootargs") {
        builder = builder.bytes("bootargs", b"svm=on\0");
    }
    builder = cell(builder, "linux,initrd-start", &[INITRD as u32]);
    builder = cell(builder, "linux,initrd-end", &[INITRD as u32 + says.initrd]);
    let mut bytes = builder.end().end().finish(says.reserved);
    bytes[28..32].copy_from_slice(&says.boot_cpu.to_be_bytes());
    bytes
}

pub(crate) fn image() -> KernelImage {
    KernelImage::parse(&elf(&[(0, b"kernel")])).expect("image")
}

fn guest(tree: &[u8]) -> ScratchRam {
    let ram = ScratchRam::new(RAM);
    ram.write(BASE, b"kernel").expect("write");
    ram.write(INITRD, b"initrd").expect("write");
    ram.write(RTAS_BASE, &RTAS_TEXT).expect("write");
    ram.write(TREE, tree).expect("write");
    ram
}

/// One UV_ESM, and the frames as it leaves them.
struct Entered {
    ram: ScratchRam,
    map: ShareMap,
    report: EsmReport,
}

#[derive(Clone, Copy)]
struct Build {
    firmware: Firmware,
    warn_only: bool,
    abort: bool,
}

const PUBLISHED: Build = Build { firmware: Firmware::Slof, warn_only: false, abort: false };

fn enter_at(ram: ScratchRam, map: ShareMap, build: Build, at: u64) -> Entered {
    let Build { firmware, warn_only, abort } = build;
    let image = image();
    let entry = Entry { ram: &ram, map: &map, image: &image, tpm: None, firmware, warn_only, abort };
    let report = entry.run(BASE, at).expect("RAM");
    Entered { ram, map, report }
}

fn enter(tree: &[u8], build: Build) -> Entered {
    enter_at(guest(tree), ShareMap::new(RAM), build, TREE)
}

fn unmet(says: Says<'_>) -> (Vec<Requirement>, Outcome) {
    let report = enter(&tree_that(says), PUBLISHED).report;
    (report.unmet, report.outcome)
}

const ABORTED: Outcome = Outcome::Aborted(Code::PARAMETER);

fn first_byte(ram: &ScratchRam, gfn: u64) -> u8 {
    ram.read(gfn * FRAME_SIZE, 1).expect("read").expect("RAM")[0]
}

#[test]
fn a_complete_tree_is_measured_and_gets_four_reservations() {
    let Entered { ram, map, report } = enter(&tree(&[], &[(0x1000, 0x1000)]), PUBLISHED);
    assert!(report.succeeded(), "{report}");
    assert!(report.kernel.is_equal());
    assert_eq!(report.bootargs_sha512, Some(sha512(b"svm=on")));
    assert_eq!(report.initrd_sha512, Some(sha512(b"initrd")));
    assert_eq!(report.rtas_sha512, Some(sha512(&RTAS_TEXT)));
    // From 64 MiB down: ESM blob, its files, RTAS in one piece, TSS.
    let entries =
        [(0x3ff_0000, 0x1_0000), (0x3fe_0000, 0x1_0000), (0x3f8_0000, 0x6_0000), (0x3f6_0000, 0x2_0000)];
    assert_eq!(report.reservations, entries);
    let after = read_tree(&ram, TREE).expect("read").expect("tree");
    assert_eq!(after.reserved, [&[(0x1000, 0x1000)][..], &entries].concat());
    assert_eq!(after.node("/reserved-memory"), None);
    assert_eq!(report.reserved.len(), 10);
    // Six frames of RTAS and one of TSS are the host's to see, three are not.
    assert_eq!(map.ranges_in(FrameState::Implicit), [0x3f6..0x3f7, 0x3f8..0x3fe]);
    assert_eq!(map.ranges_in(FrameState::SecureReserved), [0x3f7..0x3f8, 0x3fe..0x400]);
    // 0x12000 bytes, rounded up.
    assert_eq!(map.ranges_in(FrameState::Pseudo), [0x70..0x72]);
}

#[test]
fn memory_outside_the_kept_parts_is_zeroed() {
    let ram = guest(&tree(&[], &[]));
    for gfn in 0..RAM / FRAME_SIZE {
        // Behind whatever is there.
        ram.write((gfn + 1) * FRAME_SIZE - 1, &[0x5a]).expect("write");
    }
    let Entered { ram, report, .. } = enter_at(ram, ShareMap::new(RAM), PUBLISHED, TREE);
    // Kernel, initrd, RTAS area of two frames, tree.
    assert_eq!(report.kept, [0x40..0x41, 0x60..0x61, 0x70..0x72, 0x80..0x81]);
    assert_eq!(report.forgotten, 0x400 - 5);
    for gfn in 0..RAM / FRAME_SIZE {
        let last = ram.read((gfn + 1) * FRAME_SIZE - 1, 1).expect("read").expect("RAM")[0];
        let kept = [0x40, 0x60, 0x70, 0x71, 0x80].contains(&gfn);
        assert_eq!(last, if kept { 0x5a } else { 0 }, "frame {gfn:#x}");
    }
}

/// The guest keeps whole frames, so a tree in the middle of one keeps the bytes around it, too.
#[test]
fn a_tree_across_frames_keeps_all_of_them() {
    let at = TREE + FRAME_SIZE - 0x100;
    let ram = guest(&[]);
    ram.write(at, &tree(&[], &[])).expect("write");
    ram.write(TREE, b"host").expect("write");
    let Entered { ram, report, .. } = enter_at(ram, ShareMap::new(RAM), PUBLISHED, at);
    assert!(report.succeeded(), "{report}");
    assert!(report.kept.contains(&(0x80..0x82)));
    assert_eq!(first_byte(&ram, 0x80), b'h');
}

#[test]
fn a_development_build_keeps_all_memory_and_logs_what_is_wrong() {
    let ram = guest(&tree(&["bootargs"], &[]));
    ram.write(BASE + 2, b"R").expect("write");
    ram.write(0x20_0000, b"host").expect("write");
    let build = Build { warn_only: true, ..PUBLISHED };
    let Entered { ram, report, map } = enter_at(ram, ShareMap::new(RAM), build, TREE);
    assert!(report.succeeded(), "{report}");
    assert_eq!(report.warned, [Requirement::Chosen("bootargs"), Requirement::Blob]);
    // Only what the ultravisor shares with the host is lost.
    assert_eq!((report.forgotten, first_byte(&ram, 0x20)), (7, b'h'));
    assert_eq!(map.ranges_in(FrameState::Implicit).len(), 2);

    // The same guest with a production build.
    let ram = guest(&tree(&[], &[]));
    ram.write(BASE + 2, b"R").expect("write");
    let report = enter_at(ram, ShareMap::new(RAM), PUBLISHED, TREE).report;
    assert_eq!((report.unmet, report.outcome), (vec![Requirement::Digest("kernel")], ABORTED));
}

#[test]
fn a_wrong_rtas_text_is_refused() {
    let ram = guest(&tree(&[], &[]));
    ram.write(RTAS_BASE + 19, &[0x21]).expect("write");
    let report = enter_at(ram, ShareMap::new(RAM), PUBLISHED, TREE).report;
    assert_eq!((report.unmet, report.outcome), (vec![Requirement::Digest("RTAS text")], ABORTED));
}

#[test]
fn an_odd_reservation_gets_a_frame_laid_over_its_first_bytes() {
    // Starts 0x8123 below the top: the candidate 0x10000 below that is not on a frame, and is aligned up.
    let odd = (RAM - 0x8123, 0x123);
    let report = enter(&tree(&[], &[odd]), PUBLISHED).report;
    assert!(report.succeeded(), "{report}");
    assert_eq!(report.reservations[0], (0x3ff_0000, 0x1_0000));
    assert!(report.reservations[0].0 + report.reservations[0].1 > odd.0);
}

#[test]
fn without_room_below_the_top_the_size_is_named() {
    let (unmet, outcome) = unmet(Says { reserved: &[(0x1000, RAM - 0x1000)], ..Says::default() });
    assert_eq!((unmet, outcome), (vec![Requirement::RoomForReservation(0x1_0000)], ABORTED));
    // Room for two single frames, and not for six in one piece.
    let reserved = &[(0x1000, RAM - 0x3_1000)];
    let report = enter(&tree(&[], reserved), PUBLISHED).report;
    assert_eq!(report.unmet, [Requirement::RoomForReservation(0x6_0000)]);
}

#[test]
fn the_real_mode_area_ends_at_768_mib() {
    let ram = ScratchRam::new(1 << 30);
    for (at, bytes) in [(BASE, &b"kernel"[..]), (INITRD, b"initrd"), (RTAS_BASE, &RTAS_TEXT)] {
        ram.write(at, bytes).expect("write");
    }
    ram.write(TREE, &tree_that(Says { memory: 1 << 30, ..Says::default() })).expect("write");
    let report = enter_at(ram, ShareMap::new(1 << 30), PUBLISHED, TREE).report;
    assert_eq!(report.reservations[0], (0x2fff_0000, 0x1_0000));
}

#[test]
fn each_missing_property_is_named_and_refuses_the_call() {
    let missing = |property| unmet(Says { without: &[property], ..Says::default() });
    let rtas = ["linux,rtas-base", "rtas-size", "slof,rtas-size", "ibm,lrdr-capacity"];
    for property in rtas.into_iter().chain(RTAS_TOKENS) {
        assert_eq!(missing(property), (vec![Requirement::Rtas(property)], ABORTED));
    }
    assert_eq!(missing("#size-cells").0, [Requirement::RootCells("#size-cells")]);
    assert_eq!(missing("reg").0, [Requirement::Memory0]);
    assert_eq!(missing("cpu").0, [Requirement::Cpus]);
    assert_eq!(missing("bootargs").0, [Requirement::Chosen("bootargs")]);
    assert_eq!(missing("linux,initrd-end").0, [Requirement::Chosen("linux,initrd-end")]);
}

#[test]
fn the_number_of_cpus_is_cores_times_threads_and_the_boot_cpu_is_below_it() {
    let entered = |says| enter(&tree_that(says), PUBLISHED).report;
    let eight = Says { capacity: &[0, 0, 0, 0x1000_0000, 4], servers: &[0, 1], ..Says::default() };
    assert_eq!(entered(eight).max_cpus, 8);
    assert!(entered(Says { boot_cpu: 7, ..eight }).succeeded());
    let late = entered(Says { boot_cpu: 8, ..eight });
    assert_eq!(late.unmet, [Requirement::BootCpu { id: 8, max: 8 }]);
    // H_STATE: H_SVM_INIT_ABORT comes after H_SVM_INIT_DONE.
    assert_eq!(late.outcome, Outcome::Aborted(Code(-75)));
    // One thread where the CPU names none; no core at all is no boot CPU either.
    assert_eq!(entered(Says { without: &["ibm,ppc-interrupt-server#s"], ..eight }).max_cpus, 4);
    let none = Says { capacity: &[0, 0, 0, 0, 0], ..eight };
    assert_eq!(entered(none).outcome, Outcome::Aborted(Code(-75)));
    // Other cells at the root move the number, and are no error.
    let one = Says { root_cells: 1, capacity: &[0, 0, 0x1000_0000, 3], ..Says::default() };
    assert_eq!(entered(one).max_cpus, 3);
    let crowd = entered(Says { capacity: &[0, 0, 0, 0, 4097], ..Says::default() });
    assert_eq!((crowd.unmet, crowd.outcome), (vec![Requirement::MaxCpus(4097)], ABORTED));
    let short = entered(Says { capacity: &[0, 0, 0, 0], ..Says::default() });
    assert!(matches!(short.outcome, Outcome::Dead(_)));
}

#[test]
fn what_a_firmware_cannot_have_is_named_and_passes() {
    let without = ["linux,rtas-base", "slof,rtas-size"];
    let enter = |firmware| enter(&tree(&without, &[]), Build { firmware, ..PUBLISHED }).report;
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
        enter_at(ram, ShareMap::new(RAM), PUBLISHED, at).report.unmet
    };
    assert_eq!(enter(&[0; 8], TREE), [Requirement::WellFormed(FdtError::Magic(0))]);
    let mut huge = tree(&[], &[]);
    huge[4..8].copy_from_slice(&0x10_0001u32.to_be_bytes());
    assert_eq!(enter(&huge, TREE), [Requirement::Size(0x10_0001)]);
    // A whole frame is asked for, however short the tree: the last frame's start is the last place.
    let good = tree(&[], &[]);
    assert_eq!(enter(&good, RAM - FRAME_SIZE + 8), [Requirement::TreeInRam]);
    assert_eq!(enter(&[], RAM), [Requirement::TreeInRam]);
}

/// The tree is worked on in its own size rounded up to 64 KiB: one that fills it has no room for another entry.
#[test]
fn a_tree_without_room_for_reservations_is_refused() {
    let mut full = Fdt::parse(&tree(&[], &[])).expect("tree");
    let room = FRAME_SIZE as usize - full.pack().len();
    full.add_root_child("pad", &[("x", &vec![0; room - 0x5c])]);
    let full = full.pack();
    assert!(full.len() as u64 <= FRAME_SIZE && full.len() as u64 + 64 > FRAME_SIZE, "{:#x}", full.len());
    assert_eq!(enter(&full, PUBLISHED).report.unmet, [Requirement::RoomInTree]);
}

#[test]
fn what_was_shared_before_an_abort_is_zeros_in_the_normal_vm() {
    let filled = |tree: &[u8], build| {
        let ram = guest(tree);
        for gfn in [0x3f6, 0x3f7, 0x3f8, 0x3fd, 0x3fe, 0x71, 0x20] {
            ram.write(gfn * FRAME_SIZE, &[0x5a]).expect("write");
        }
        enter_at(ram, ShareMap::new(RAM), build, TREE)
    };
    let survivors = |entered: &Entered| {
        assert_eq!(entered.report.outcome, ABORTED);
        assert_eq!(entered.map.state(0x3f8), Some(FrameState::Normal));
        assert_eq!(entered.ram.read(BASE, 6).expect("read"), Some(b"kernel".to_vec()));
        let frames = [0x20, 0x70, 0x71, 0x3f6, 0x3f7, 0x3f8, 0x3fd, 0x3fe];
        frames.into_iter().filter(|gfn| first_byte(&entered.ram, *gfn) != 0).collect::<Vec<_>>()
    };
    // As late as possible: the RTAS area with its stub, its buffers, the TSS buffer.
    let last = filled(&tree(&[], &[]), Build { abort: true, ..PUBLISHED });
    assert_eq!(survivors(&last), [0x20, 0x3f7, 0x3fe]);
    // Without an initrd, likewise; without the RTAS area's size, before it is shared; without a token, before all.
    let initrd = filled(&tree(&["linux,initrd-start"], &[]), PUBLISHED);
    assert_eq!(survivors(&initrd), [0x20, 0x3f7, 0x3fe]);
    let size = filled(&tree(&["rtas-size"], &[]), PUBLISHED);
    assert_eq!(survivors(&size), [0x20, 0x70, 0x71, 0x3f7, 0x3fe]);
    let token = filled(&tree(&["start-cpu"], &[]), PUBLISHED);
    assert_eq!(survivors(&token), [0x20, 0x70, 0x71, 0x3f6, 0x3f7, 0x3f8, 0x3fd, 0x3fe]);
    // A refused call leaves the tree alone.
    assert_eq!(token.ram.read(TREE, 8).expect("read"), Some(tree(&["start-cpu"], &[])[..8].to_vec()));
}

#[test]
fn what_lies_outside_the_slots_is_refused_or_left_alone() {
    let outside = |gfn| {
        let map = ShareMap::new(RAM);
        map.set(gfn, FrameState::Outside);
        let ram = guest(&tree(&[], &[]));
        ram.write(0x200 * FRAME_SIZE, b"host").expect("write");
        enter_at(ram, map, PUBLISHED, TREE)
    };
    let unmet = |gfn| outside(gfn).report.unmet;
    assert_eq!(unmet(0x80), [Requirement::TreeInRam]);
    assert_eq!(unmet(0x60), [Requirement::InitrdInRam]);
    assert_eq!(unmet(0x71), [Requirement::RtasInRam]);
    assert_eq!(unmet(0x40), [Requirement::KernelInRam]);
    assert_eq!(unmet(0x3ff), [Requirement::RoomForReservation(0x1_0000)]);
    let entered = outside(0x200);
    assert!(entered.report.succeeded());
    assert_eq!(first_byte(&entered.ram, 0x200), b'h');
    assert_eq!(entered.map.state(0x200), Some(FrameState::Outside));
    assert_eq!(entered.report.forgotten, 0x400 - 5 - 1);
}

/// If the host reserves memory down to the kernel, the ultravisor's frames are placed over the kernel. They hold zeros
/// when the kernel is measured.
#[test]
fn shared_frames_over_the_kernel_are_measured_as_zeros() {
    let top = (BASE + 6 * FRAME_SIZE, RAM - BASE - 6 * FRAME_SIZE);
    // The two frames of the ESM blob have a place below; six in one piece end where the entry begins.
    let hole = (0x10_0000, BASE - 0x10_0000 - 2 * FRAME_SIZE);
    let report = enter(&tree(&[], &[hole, top]), PUBLISHED).report;
    assert_eq!(report.unmet, [Requirement::Digest("kernel")], "{report}");
}
