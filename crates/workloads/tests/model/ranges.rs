//! Discard and write zeroes: what is right is counted, and what is wrong is found.

use postern_cases::case;
use postern_core::disk::jobs::JobError;
use postern_core::disk::pattern::Pattern;
use testkit::blk_model::{Config, Rig};
use testkit::model::Combination;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::stream::Plan;
use workloads::ranges::{Done, discard_and_zero};

const PATTERN: Pattern = Pattern { seed: 7 };
const SECTORS: u64 = 2048;

fn config() -> Config {
    Config { discard: Some((100, 1, 8)), write_zeroes: Some((64, 1, 1)), ..Config::sectors(SECTORS) }
}

#[test]
fn a_disk_is_discarded_zeroed_and_kept_by_quarters() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, config());
        let quarter = SECTORS * 512 / 4;
        let done = discard_and_zero(&mut rig.start(), PATTERN, Plan::default()).unwrap();
        let expected = Done { discarded: quarter, discarded_zeros: 0, zeroed: 2 * quarter, kept: quarter };
        assert_eq!(done, expected, "{combination:?}");
    }
}

#[test]
fn quarters_are_whole_blocks_of_a_disk_with_large_ones() {
    let config = Config { blk_size: Some(4096), ..config() };
    let done = discard_and_zero(&mut Rig::secure(config).start(), PATTERN, Plan::default()).unwrap();
    assert!(done.discarded.is_multiple_of(4096) && done.discarded + done.zeroed + done.kept == SECTORS * 512);
}

#[test]
fn zeros_that_were_not_written_are_found() {
    case!("BLK-19", Fail);
    // The second range of zeros is the last one: its first sector comes back as something else.
    let rig = Rig::secure(config());
    rig.disk().corrupt_from = Some(SECTORS / 2);
    let mut blk = rig.start();
    let error = discard_and_zero(&mut blk, PATTERN, Plan { chunk: 4096, depth: 4 }).unwrap_err();
    assert!(matches!(error, JobError::Mismatch { .. }), "{error}");
}

#[test]
fn a_disk_that_offers_one_of_the_two_is_not_worked_on() {
    for config in [Config { discard: None, ..config() }, Config { write_zeroes: None, ..config() }] {
        let rig = Rig::plain(config);
        let before = rig.disk().bytes.clone();
        let error = discard_and_zero(&mut rig.start(), PATTERN, Plan::default()).unwrap_err();
        assert_eq!(error, JobError::Disk(BlkError::NotOffered));
        assert_eq!(rig.disk().bytes, before);
    }
}
