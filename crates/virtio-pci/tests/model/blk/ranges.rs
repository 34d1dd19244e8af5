//! Discard and write zeroes, and a disk's stated limits and hints: honest and hostile disks.

use postern_cases::case;
use std::vec::Vec;
use testkit::blk_model::{Config, FLUSH, RO, Rig, content};
use testkit::model::{Combination, Model};
use testkit::virtio_model::VirtioModel;
use virtio_pci::blk::abilities::{LimitError, Offer, Topology, WriteCache};
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::ranges::{RangeLimits, SectorRange};

const SECTORS: u64 = 2048;

fn config() -> Config {
    Config { discard: Some((100, 3, 8)), write_zeroes: Some((64, 2, 1)), ..Config::sectors(SECTORS) }
}

fn range(sector: u64, sectors: u64) -> SectorRange {
    SectorRange { sector, sectors }
}

#[test]
fn ranges_are_zeroed_and_discarded_in_all_four_combinations() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, config());
        let mut blk = rig.start();
        blk.discard(range(16, 500)).unwrap();
        blk.write_zeroes(range(600, 500), true).unwrap();
        let mut expected = content(SECTORS as usize * 512);
        expected[16 * 512..516 * 512].fill(0xdd);
        expected[600 * 512..1100 * 512].fill(0);
        assert_eq!(blk.read(0, SECTORS as usize * 512).unwrap(), expected, "{combination:?}");
        assert!(rig.machine.refused().is_empty(), "{combination:?}");
        // The model has checked the count and the length of each; the flags are checked here.
        let ranges = rig.disk().ranges.clone();
        assert!(ranges.iter().all(|(kind, _, _, flags)| *flags == u32::from(*kind == 13)));
    }
}

#[test]
fn a_long_range_is_cut_where_the_disk_wants_it_and_leaves_no_sector_out() {
    let rig = Rig::plain(config());
    let mut blk = rig.start();
    blk.discard(range(3, 300)).unwrap();
    let pieces: Vec<_> = rig.disk().ranges.iter().map(|(_, sector, length, _)| (*sector, *length)).collect();
    assert_eq!(pieces, [(3, 93), (96, 96), (192, 96), (288, 15)]);
}

#[test]
fn an_alignment_that_fits_no_block_or_request_is_ignored() {
    case!("BLK-18", Ignore);
    for (block, alignment, followed) in [
        (512, 0, 1),
        (512, 3, 3),
        (4096, 3, 8),
        (4096, 16, 16),
        (512, 101, 1),
        (512, u32::MAX, 1),
        (4096, 1 << 31, 8),
    ] {
        let config =
            Config { blk_size: Some(block), discard: Some((100, 3, alignment)), ..Config::sectors(SECTORS) };
        let rig = Rig::secure(config);
        let mut blk = rig.start();
        let limits = blk.abilities().discard.limits().unwrap();
        assert_eq!((limits.alignment, limits.sectors), (followed, 100 / (block / 512) * (block / 512)));
        blk.discard(range(8, 800)).unwrap();
        let mut next = 8;
        for (_, sector, length, _) in &rig.disk().ranges {
            assert_eq!(*sector, next, "{block} {alignment}");
            next += u64::from(*length);
            assert!(next == 808 || next.is_multiple_of(followed.into()), "{block} {alignment}: {next}");
        }
        assert_eq!(next, 808);
    }
}

#[test]
fn limits_of_zero_disable_the_request_and_not_the_disk() {
    case!("BLK-17", Ignore);
    let short = |sectors, block| Offer::Unusable(LimitError::Sectors { sectors, block });
    for (limits, block, found) in [
        ((0, 1), 512, short(0, 512)),
        ((7, 1), 4096, short(7, 4096)),
        ((8, 0), 512, Offer::Unusable(LimitError::NoRange)),
    ] {
        let (sectors, ranges) = limits;
        let config = Config {
            blk_size: Some(block),
            discard: Some((sectors, ranges, 8)),
            write_zeroes: Some((sectors, ranges, 1)),
            ..Config::sectors(SECTORS)
        };
        let rig = Rig::secure(config);
        let mut blk = rig.start();
        assert_eq!((blk.abilities().discard, blk.abilities().write_zeroes), (found, found));
        assert_eq!(blk.discard(range(0, 8)), Err(BlkError::NotOffered));
        assert_eq!(blk.write_zeroes(range(0, 8), true), Err(BlkError::NotOffered));
        assert_eq!(blk.read(0, 4096).unwrap(), content(4096));
    }
}

#[test]
fn huge_limits_are_cut_to_the_driver_s_own() {
    case!("BLK-17", Clamp);
    let most = u32::MAX;
    let config = Config {
        blk_size: Some(4096),
        discard: Some((most, most, most)),
        write_zeroes: Some((most, most, 255)),
        ..Config::sectors(SECTORS)
    };
    let rig = Rig::secure(config);
    let mut blk = rig.start();
    // 255 is neither 0 nor 1, so that unmapping counts as not offered.
    let limits = RangeLimits { sectors: most - 7, ranges: 32, alignment: 8, may_unmap: false };
    assert_eq!(blk.abilities().discard, Offer::Within(limits));
    assert_eq!(blk.abilities().write_zeroes, Offer::Within(limits));
    blk.write_zeroes(range(0, SECTORS), true).unwrap();
    assert_eq!(rig.disk().ranges, [(13, 0, SECTORS as u32, 0)], "no unmapping where it is not offered");
}

#[test]
fn an_invalid_request_of_the_caller_is_refused_before_it_is_sent() {
    case!("BLK-13", Fail);
    let rig = Rig::secure(config());
    let mut blk = rig.start();
    let capacity = SECTORS;
    for (sector, sectors, bytes) in
        [(SECTORS, 1, 512), (SECTORS - 1, 2, 1024), (u64::MAX, 1, 512), (0, u64::MAX, u64::MAX)]
    {
        let out = BlkError::OutOfRange { sector, bytes, capacity };
        assert_eq!(blk.submit_discard(&[range(sector, sectors)]).unwrap_err().error, out);
        assert_eq!(blk.discard(range(sector, sectors)), Err(out));
        assert_eq!(blk.write_zeroes(range(sector, sectors), false), Err(out));
    }
    let submit =
        |blk: &mut Blk<VirtioModel, Model>, ranges: &[_]| blk.submit_discard(ranges).unwrap_err().error;
    assert_eq!(submit(&mut blk, &[]), BlkError::Ranges { count: 0, most: 3 });
    assert_eq!(submit(&mut blk, &[range(0, 1); 4]), BlkError::Ranges { count: 4, most: 3 });
    assert_eq!(submit(&mut blk, &[range(0, 101)]), BlkError::RangeTooLong { sectors: 101, most: 100 });
    assert!(matches!(submit(&mut blk, &[range(0, 0)]), BlkError::Unaligned { .. }));
    assert_eq!((blk.dma().counts().to_pool, rig.disk().most_held), (0, 0));

    let plain = Rig::plain(Config::sectors(SECTORS));
    assert_eq!(plain.start().discard(range(0, 8)), Err(BlkError::NotOffered));
    let read_only = Rig::plain(Config { features: config().features | RO, ..config() });
    assert_eq!(read_only.start().discard(range(0, 8)), Err(BlkError::ReadOnly));
    assert_eq!(read_only.start().write_zeroes(range(0, 8), true), Err(BlkError::ReadOnly));
}

#[test]
fn a_disk_that_refuses_what_it_offered_fails_by_name_and_stays() {
    case!("BLK-20", Fail);
    for (status, error) in [(1, BlkError::Io), (2, BlkError::Unsupported), (9, BlkError::Status(9))] {
        let rig = Rig::secure(config());
        let mut blk = rig.start();
        rig.disk().status = Some(status);
        assert_eq!(blk.discard(range(0, 500)), Err(error));
        assert_eq!(rig.disk().ranges.len(), 3, "one request; its failure ends the rest");
        assert_eq!(blk.write_zeroes(range(0, 8), false), Err(error));
        rig.disk().status = None;
        assert_eq!(blk.discard(range(0, 8)), Ok(()));
        assert_eq!(blk.broken(), None);
    }
}

#[test]
fn a_used_length_of_zero_is_ignored_for_a_range_request() {
    let rig = Rig::secure(config());
    rig.disk().written = Some(0);
    let mut blk = rig.start();
    blk.write_zeroes(range(0, 8), false).unwrap();
    assert_eq!(rig.disk().bytes[..4096], [0; 4096]);
}

#[test]
fn many_range_requests_are_in_flight_at_once() {
    let rig = Rig::secure(config());
    rig.disk().shuffle = true;
    let mut blk = rig.start();
    for n in 0..64 {
        blk.submit_write_zeroes(&[range(n * 32, 8), range(n * 32 + 16, 8)], false).unwrap();
    }
    let mut done = 0;
    while let Some(completion) = blk.wait() {
        assert_eq!(completion.result, Ok(()));
        done += 1;
    }
    assert_eq!((done, rig.disk().ranges.len()), (64, 128));
}

#[test]
fn hints_are_in_bytes_and_invalid_ones_are_ignored() {
    case!("BLK-21", Ignore);
    let topology = |told, block| {
        let config = Config { topology: Some(told), blk_size: Some(block), ..Config::sectors(SECTORS) };
        Rig::plain(config).start().abilities().topology
    };
    let hints = |physical_block, alignment_offset, min_io, optimal_io| Topology {
        physical_block,
        alignment_offset,
        min_io,
        optimal_io,
    };
    assert_eq!(topology((3, 1, 8, 256), 512), hints(4096, 512, 4096, 131_072));
    assert_eq!(topology((0, 0, 0, 0), 4096), hints(4096, 0, 0, 0));
    // An offset beyond the block, and blocks larger than any.
    assert_eq!(topology((3, 8, 0, 0), 512), hints(4096, 0, 0, 0));
    for exponent in [23, 52, 55, 63, 64, 255] {
        assert_eq!(topology((exponent, 0, 0, 0), 512), hints(512, 0, 0, 0), "{exponent}");
    }
    let most = hints(512, 0, 65_535 * 512, 512 * u64::from(u32::MAX));
    assert_eq!(topology((255, 255, u16::MAX, u32::MAX), 512), most);
    let absent = Rig::plain(Config { blk_size: Some(4096), ..Config::sectors(SECTORS) }).start();
    assert_eq!(absent.abilities().topology, hints(4096, 0, 0, 0));
}

#[test]
fn a_write_cache_is_assumed_unless_denied_and_flushed_if_flush_is_offered() {
    case!("BLK-21", Ignore);
    for (flush, writeback, cache) in [
        (true, None, WriteCache::Back),
        (true, Some(0), WriteCache::Through),
        (true, Some(1), WriteCache::Back),
        (true, Some(0xff), WriteCache::Back),
        (false, None, WriteCache::Through),
        (false, Some(1), WriteCache::Through),
    ] {
        let mut config = Config { writeback, ..Config::sectors(SECTORS) };
        config.features &= if flush { !0 } else { !FLUSH };
        let rig = Rig::secure(config);
        let mut blk = rig.start();
        assert_eq!(blk.abilities().write_cache, cache, "{flush} {writeback:?}");
        blk.flush().unwrap();
        assert_eq!(rig.disk().flushes, u32::from(flush));
    }
}

#[test]
fn a_disk_s_limits_survive_a_restart() {
    let rig = Rig::secure(config());
    let mut blk = rig.start();
    let before = blk.abilities();
    blk.restart().unwrap();
    assert_eq!(blk.abilities(), before);
    blk.discard(range(0, 8)).unwrap();
}
