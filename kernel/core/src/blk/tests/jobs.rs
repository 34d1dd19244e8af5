//! The disk jobs.

use crate::blk::error::BlkError;
use crate::blk::jobs::{JobError, digest, verify, write_and_verify};
use crate::blk::model::{Config, Rig, content};
use crate::blk::pattern::Pattern;
use crate::blk::stream::{Plan, TransferError};
use crate::model::Cell;
use sha2::{Digest, Sha256};
use std::string::ToString;
use std::vec::Vec;

const PLAN: Plan = Plan { chunk: 24 << 10, depth: 5 };

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn digest_of_a_disk_that_is_no_multiple_of_the_chunk() {
    for cell in Cell::ALL {
        let rig = Rig::new(cell, Config::sectors(777));
        rig.disk().shuffle = true;
        let mut blk = rig.start();
        assert_eq!(digest(&mut blk, u64::MAX, PLAN).unwrap().0, sha256(&content(777 * 512)), "{cell:?}");
    }
}

#[test]
fn digest_of_the_beginning_ends_where_asked() {
    let mut blk = Rig::secure(Config::sectors(4096)).start();
    assert_eq!(digest(&mut blk, 1 << 20, PLAN).unwrap().0, sha256(&content(1 << 20)));
    assert_eq!(digest(&mut blk, 1000, PLAN).unwrap().0, sha256(&content(1000)), "not whole sectors");
    let mut small = Rig::secure(Config::sectors(3)).start();
    assert_eq!(digest(&mut small, 1 << 20, PLAN).unwrap().0, sha256(&content(3 * 512)));
}

#[test]
fn digest_of_nothing_is_that_of_the_empty_string() {
    let mut blk = Rig::secure(Config::sectors(0)).start();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(digest(&mut blk, u64::MAX, PLAN).unwrap().to_string(), empty);
}

#[test]
fn pattern_covers_the_whole_disk_in_all_four_cells() {
    for cell in Cell::ALL {
        let rig = Rig::new(cell, Config::sectors(999));
        rig.disk().shuffle = true;
        let mut blk = rig.start();
        let pattern = Pattern { seed: 42 };
        assert_eq!(write_and_verify(&mut blk, pattern, PLAN), Ok(999 * 512));
        let mut expected = std::vec![0; 999 * 512];
        pattern.fill(0, &mut expected);
        assert_eq!(rig.disk().bytes, expected, "{cell:?}");
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
fn device_that_answers_other_bytes_is_found() {
    let rig = Rig::plain(Config::sectors(96));
    rig.disk().corrupt_from = Some(48);
    let mut blk = rig.start();
    let result = write_and_verify(&mut blk, Pattern { seed: 1 }, PLAN);
    assert_eq!(result, Err(JobError::Mismatch { sector: 48, offset: 48 * 512 }));
}

#[test]
fn failed_request_is_named_and_the_rest_of_the_transfer_is_over() {
    let rig = Rig::secure(Config::sectors(999));
    let mut blk = rig.start();
    rig.disk().status = Some(1);
    let error = digest(&mut blk, u64::MAX, PLAN).unwrap_err();
    assert_eq!(error, TransferError { sector: 0, error: BlkError::Io });
    assert_eq!(blk.in_flight(), 0);
    rig.disk().status = None;
    assert_eq!(digest(&mut blk, u64::MAX, PLAN).unwrap().0, sha256(&content(999 * 512)));
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
