//! The disk jobs.

use postern_cases::case;
use postern_core::disk::jobs::{JobError, digest, verify, write_and_verify};
use postern_core::disk::pattern::Pattern;
use sha2::{Digest, Sha256};
use std::string::ToString;
use std::vec::Vec;
use testkit::blk_model::{Config, Rig, content};
use testkit::model::Combination;
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::blk::stream::{Plan, TransferError};

const PLAN: Plan = Plan { chunk: 24 << 10, depth: 5 };

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn digest_of_a_disk_that_is_no_multiple_of_the_chunk() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config::sectors(777));
        rig.disk().shuffle = true;
        let mut blk = rig.start();
        assert_eq!(
            digest(&mut blk, u64::MAX, PLAN).unwrap().0.0,
            sha256(&content(777 * 512)),
            "{combination:?}"
        );
    }
}

#[test]
fn digest_of_the_beginning_ends_where_asked() {
    let mut blk = Rig::secure(Config::sectors(4096)).start();
    assert_eq!(digest(&mut blk, 1 << 20, PLAN).unwrap().0.0, sha256(&content(1 << 20)));
    assert_eq!(digest(&mut blk, 1000, PLAN).unwrap().0.0, sha256(&content(1000)), "not whole sectors");
    let mut small = Rig::secure(Config::sectors(3)).start();
    assert_eq!(digest(&mut small, 1 << 20, PLAN).unwrap().0.0, sha256(&content(3 * 512)));
}

#[test]
fn work_on_an_empty_disk_fails_by_name() {
    case!("BLK-05", Fail);
    let mut blk = Rig::secure(Config::sectors(0)).start();
    let empty = JobError::Disk(BlkError::Empty);
    assert_eq!(digest(&mut blk, u64::MAX, PLAN), Err(empty));
    assert_eq!(write_and_verify(&mut blk, Pattern { seed: 1 }, PLAN), Err(empty));
    assert_eq!(verify(&mut blk, Pattern { seed: 1 }, PLAN), Err(empty));
    assert_eq!(empty.to_string(), "the disk holds no bytes");
}

#[test]
fn bytes_after_the_last_whole_block_are_an_error() {
    case!("BLK-15", Fail);
    for (sectors, tail) in [(8 * 100 + 3, 3 * 512), (7, 7 * 512), (1, 512)] {
        let rig = Rig::secure(Config { blk_size: Some(4096), ..Config::sectors(sectors) });
        let mut blk = rig.start();
        assert_eq!(blk.geometry().tail_bytes(), tail);
        let failed = JobError::Disk(BlkError::Tail { bytes: tail, block: 4096 });
        assert_eq!(digest(&mut blk, u64::MAX, PLAN), Err(failed));
        assert_eq!(write_and_verify(&mut blk, Pattern { seed: 1 }, PLAN), Err(failed));
    }
    // All whole blocks can be read.
    let rig = Rig::secure(Config { blk_size: Some(4096), ..Config::sectors(8 * 100 + 3) });
    let (whole, mut blk) = (100 * 4096, rig.start());
    for bytes in [whole, whole - 1000] {
        let (sum, read) = digest(&mut blk, bytes, PLAN).unwrap();
        assert_eq!((sum.0, read), (sha256(&content(bytes as usize)), bytes));
    }
    assert!(digest(&mut blk, whole + 1, PLAN).is_err());
}

#[test]
fn a_job_uses_the_capacity_at_its_start() {
    case!("BLK-16", Work);
    for told in [true, false] {
        let rig = Rig::secure(Config::sectors(999));
        let mut blk = rig.start();
        for sectors in [100, 999, 50] {
            {
                let mut registers = rig.device.registers();
                registers.config = Config::sectors(sectors).bytes();
                registers.generation += u8::from(told);
            }
            let bytes = sectors * 512;
            let (sum, read) = digest(&mut blk, u64::MAX, PLAN).unwrap();
            assert_eq!((sum.0, read), (sha256(&content(bytes as usize)), bytes), "told: {told}");
        }
        rig.device.registers().config = Config::sectors(20).bytes();
        assert_eq!(write_and_verify(&mut blk, Pattern { seed: 1 }, PLAN), Ok(20 * 512));
        assert_eq!(
            rig.disk().bytes[20 * 512..],
            content(1 << 24)[20 * 512..999 * 512],
            "the rest is as it was"
        );
    }
}

#[test]
fn a_device_that_is_gone_when_work_begins_is_an_error() {
    case!("OUT-05", Fail);
    let rig = Rig::secure(Config::sectors(999));
    let mut blk = rig.start();
    blk.break_device(BreakReason::Timeout);
    let gone = JobError::Disk(BlkError::Broken(BreakReason::Timeout));
    assert_eq!(digest(&mut blk, u64::MAX, PLAN), Err(gone));
    assert_eq!(write_and_verify(&mut blk, Pattern { seed: 1 }, PLAN), Err(gone));
}

#[test]
fn pattern_covers_the_whole_disk_in_all_four_combinations() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config::sectors(999));
        rig.disk().shuffle = true;
        let mut blk = rig.start();
        let pattern = Pattern { seed: 42 };
        assert_eq!(write_and_verify(&mut blk, pattern, PLAN), Ok(999 * 512));
        let mut expected = std::vec![0; 999 * 512];
        pattern.fill(0, &mut expected);
        assert_eq!(rig.disk().bytes, expected, "{combination:?}");
        assert_eq!(rig.disk().flushes, 1);
        assert!(rig.disk().most_held > 1, "several requests in flight");
    }
}

#[test]
fn wrong_byte_is_found_and_its_sector_named() {
    let rig = Rig::secure(Config::sectors(999));
    let mut blk = rig.start();
    let pattern = Pattern { seed: 1 };
    write_and_verify(&mut blk, pattern, PLAN).unwrap();
    rig.disk().bytes[600 * 512 + 17] ^= 1;
    let mismatch = JobError::Mismatch { sector: 600, offset: 600 * 512 + 16 };
    assert_eq!(verify(&mut blk, pattern, PLAN), Err(mismatch));
    assert_eq!(mismatch.to_string(), "sector 600 (byte 307216) does not read back as written");
}

#[test]
fn wrong_bytes_of_a_device_are_found() {
    let rig = Rig::plain(Config::sectors(96));
    rig.disk().corrupt_from = Some(48);
    let mut blk = rig.start();
    let result = write_and_verify(&mut blk, Pattern { seed: 1 }, PLAN);
    assert_eq!(result, Err(JobError::Mismatch { sector: 48, offset: 48 * 512 }));
}

#[test]
fn failed_request_is_named_and_ends_the_transfer() {
    let rig = Rig::secure(Config::sectors(999));
    let mut blk = rig.start();
    rig.disk().status = Some(1);
    let error = digest(&mut blk, u64::MAX, PLAN).unwrap_err();
    assert_eq!(error, JobError::Transfer(TransferError { sector: 0, error: BlkError::Io }));
    assert_eq!(blk.in_flight(), 0);
    rig.disk().status = None;
    assert_eq!(digest(&mut blk, u64::MAX, PLAN).unwrap().0.0, sha256(&content(999 * 512)));
}

#[test]
fn chunks_come_in_the_order_of_the_disk() {
    let rig = Rig::secure(Config::sectors(500));
    rig.disk().shuffle = true;
    let mut blk = rig.start();
    let mut offsets = Vec::new();
    blk.read_range(512..500 * 512, PLAN, |offset, chunk| offsets.push((offset, chunk.len() as u64))).unwrap();
    let mut next = 512;
    for (offset, len) in offsets {
        assert_eq!(offset, next);
        next += len;
    }
    assert_eq!(next, 500 * 512);
}
