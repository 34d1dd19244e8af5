//! Discard and write zeroes: the guest states its work, and the host's file has zeros and the pattern, and uses less space.

use crate::disk::{self, Disk};
use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern;
use crate::variable::Firmware;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const BYTES: u64 = 4 << 20;
const QUARTER: u64 = BYTES / 4;
/// Most sectors of a request here: the guest has to split its ranges.
const SECTORS: u64 = 192;
/// Bytes that a file system may use in addition to the data.
const SLACK: u64 = 64 << 10;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let test = |name: &str, firmware, secure, ap, block: u64| {
        let config = GuestConfig::new(firmware, secure, ap);
        Test::new(format!("discard/{name}"), move |context| run(context, config, block))
    };
    vec![
        test("normal", Firmware::Vof, false, true, 512),
        test("secure/blocks-of-4-KiB", Firmware::Bios, true, true, 4096),
    ]
}

fn run(context: &Context, config: GuestConfig, block: u64) -> Result<(), Failure> {
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    let image = fixture.dir.path("scratch");
    let seed = seed();
    let file = |error| Finding::File(image.clone(), error);
    disk::make(&image, BYTES, seed).map_err(file)?;
    if !has_holes(&fixture.dir.path("holes")).map_err(file)? {
        return Err(Finding::Skipped("files of this file system have no holes".to_owned()).into());
    }
    fixture.machine.disks.push(Disk { unmap: true, ..Disk::scratch(image.clone()) });
    for property in [
        format!("virtio-blk-pci.logical_block_size={block}"),
        "virtio-blk-pci.physical_block_size=4096".to_owned(),
        "virtio-blk-pci.opt_io_size=65536".to_owned(),
        format!("virtio-blk-device.max-discard-sectors={SECTORS}"),
        format!("virtio-blk-device.max-write-zeroes-sectors={SECTORS}"),
    ] {
        fixture.machine.extra.extend(["-global".to_owned(), property]);
    }
    fixture.word(&format!("run=blk-discard seed={seed}"));
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    for (key, expected) in [
        ("blk0.block_bytes", block),
        ("blk0.physical_bytes", 4096),
        ("blk0.optimal_bytes", 65536),
        ("blk0.discard_bytes", SECTORS * 512),
        ("blk0.zeroes_bytes", SECTORS * 512),
        ("blk0.discarded_bytes", QUARTER),
        ("blk0.discarded_zeros", QUARTER),
        ("blk0.zeroed_bytes", 2 * QUARTER),
        ("blk0.kept_bytes", QUARTER),
    ] {
        findings.extend(judge::fact(&finished, key, &expected.to_string()));
    }
    findings.extend(judge::fact(&finished, "blk0.write_cache", "back"));
    let content = std::fs::read(&image).map_err(file)?;
    let mut expected = vec![0; content.len()];
    pattern::fill(seed, &mut expected);
    expected[..usize::try_from(3 * QUARTER).unwrap_or(0)].fill(0);
    if content != expected {
        findings.push(Finding::ImageContent);
    }
    // The space of the discarded quarter and of the first quarter of zeros is freed.
    let taken = File::open(&image).and_then(|file| file.metadata()).map_err(file)?.blocks() * 512;
    if !(QUARTER..=2 * QUARTER + SLACK).contains(&taken) {
        findings.push(Finding::TooFew {
            what: "bytes freed",
            least: 2 * QUARTER,
            found: BYTES - taken.min(BYTES),
        });
    }
    verdict(finished, findings)
}

/// Whether files here can have holes and report them.
fn has_holes(path: &Path) -> io::Result<bool> {
    disk::make(path, BYTES, 0)?;
    let file = File::options().write(true).open(path)?;
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let made = fallocate(&file, hole, 0, QUARTER).is_ok();
    Ok(made && file.metadata()?.blocks() * 512 <= BYTES - QUARTER + SLACK)
}
