//! Trees in which two memory ranges overlap: the guest names both owners and ends, before anything is shared or run there.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::runner::Test;
use crate::variable::Firmware;
use postern_cases::case;
use postern_ultravisor::doctor::Edit;

/// Exit status: bad device tree.
const BAD_TREE: u8 = 2;
/// Bytes of guest memory.
const MEMORY: u64 = 512 << 20;
const FRAME: u64 = 64 << 10;
/// Where QEMU puts the image.
const IMAGE: u64 = 4 << 20;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("MEM-01", Halt, M);
    let _ = case!("MEM-02", Halt, M);
    let _ = case!("MEM-03", Halt, M);
    // The published ultravisor takes ten frames below the end of memory@0, and the host sees seven of them.
    let below = |end: u64| Edit::Memory(vec![(0, end), (end, MEMORY - end)]);
    let cases: Vec<(&str, Vec<Edit>, &str)> = vec![
        ("reserved-over-image", vec![Edit::Reserve(IMAGE + FRAME, FRAME)], "overlaps image"),
        ("reserved-one-byte", vec![Edit::Reserve(IMAGE + 8 * FRAME + 9, 1)], "overlaps image"),
        ("reserved-from-image", vec![Edit::Reserve(IMAGE, 6 * FRAME)], "overlaps image"),
        ("ultravisor-over-image", vec![Edit::ReserveNothing, below(IMAGE + 64 * FRAME)], "overlaps image"),
        ("reserved-over-vectors", vec![Edit::Reserve(0x3000, 8)], "overlaps first frame"),
        ("rtas-over-image", vec![Edit::Rtas(IMAGE + 4 * FRAME, 0x82c)], "RTAS area"),
        ("rtas-over-vectors", vec![Edit::Rtas(0x8000, 0x82c)], "RTAS area"),
        ("initrd-over-image", vec![Edit::Initrd(IMAGE + 16 * FRAME, 8)], "initrd"),
        ("initrd-over-vectors", vec![Edit::Initrd(0x8000, 8)], "initrd"),
    ];
    let test = |(name, edits, names): (&str, Vec<Edit>, &'static str)| {
        Test::new(format!("ranges/secure/{name}"), move |context| refused(context, edits.clone(), names))
    };
    cases.into_iter().map(test).collect()
}

/// The guest names the overlap, ends with status 2 and has shared nothing.
fn refused(context: &Context, edits: Vec<Edit>, names: &'static str) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Bios, true, true))?;
    fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    if let Some(protection) = &mut fixture.protection {
        protection.edits = edits;
    }
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, BAD_TREE);
    if !finished.output.console.contains(names) {
        findings.push(Finding::NeverSaid(names));
    }
    if !finished.shared().ever.is_empty() {
        findings.push(Finding::Order("all ranges are compared, then memory is shared"));
    }
    verdict(finished, findings)
}
