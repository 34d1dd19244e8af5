//! What works with a device that keeps to the rules.

use postern_cases::case;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;
use svm_dma::dma::DmaError;
use testkit::blk_model::{Config, FLUSH, RO, Rig, VERSION_1, content};
use testkit::model::Combination;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::geometry::Geometry;
use virtio_pci::blk::stream::Plan;

#[test]
fn reads_writes_flush_and_id_work_in_all_four_combinations() {
    for combination in Combination::ALL {
        for shuffle in [false, true] {
            let rig = Rig::new(combination, Config::sectors(2048));
            rig.disk().shuffle = shuffle;
            let mut blk = rig.start();
            assert_eq!(blk.dma().bounced(), combination.secure);
            assert_eq!(blk.read(0, 2048 * 512).unwrap(), content(2048 * 512), "{combination:?}");
            let data: Vec<u8> = (0..70_000 / 512 * 512).map(|i| (i % 251) as u8).collect();
            blk.write(100, &data).unwrap();
            blk.flush().unwrap();
            assert_eq!(rig.disk().bytes[100 * 512..100 * 512 + data.len()], data);
            assert_eq!(rig.disk().flushes, 1);
            assert_eq!(blk.read(100, data.len()).unwrap(), data);
            assert_eq!(blk.id().unwrap(), "disk");
            assert!(rig.machine.refused().is_empty(), "{combination:?}: {:?}", rig.machine.refused());
        }
    }
}

#[test]
fn geometry_is_what_the_device_says_within_own_limits() {
    let mut config = Config::sectors(100);
    config.blk_size = Some(4096);
    config.size_max = Some(8192);
    config.seg_max = Some(1000);
    config.features = VERSION_1 | RO;
    let blk = Rig::plain(config).start();
    let expected = Geometry {
        capacity: 100,
        block: 4096,
        segment_bytes: 8192,
        segments: 64,
        read_only: true,
        flush: false,
        queues: 1,
    };
    assert_eq!(blk.geometry(), expected);
    assert_eq!(blk.geometry().usable_bytes(), 12 * 4096);
    assert_eq!(blk.queue_size(), 256);
}

#[test]
fn many_requests_need_one_notification_and_complete_in_any_order() {
    let rig = Rig::secure(Config::sectors(1024));
    rig.disk().shuffle = true;
    let mut blk = rig.start();
    let mut expected = BTreeMap::new();
    for n in 0..32 {
        let token = blk.submit_read(n * 8, vec![0; 4096]).unwrap();
        expected.insert(token, content(1024 * 512)[n as usize * 4096..][..4096].to_vec());
    }
    assert!(rig.device.registers().notified.is_empty());
    assert_eq!(blk.in_flight(), 32);
    blk.kick();
    assert_eq!(rig.device.registers().notified, [0]);
    assert_eq!(rig.disk().most_held, 32);
    while let Some(completion) = blk.wait() {
        assert_eq!(completion.result, Ok(()));
        assert_eq!(Some(completion.buffer), expected.remove(&completion.token));
    }
    assert!(expected.is_empty());
}

#[test]
fn request_larger_than_a_slot_has_several_segments() {
    let rig = Rig::secure(Config::sectors(2048));
    let mut blk = rig.start();
    assert_eq!(blk.read(3, 256 << 10).unwrap(), content(2048 * 512)[3 * 512..][..256 << 10]);
    assert_eq!(rig.disk().most_segments, 4);
    assert_eq!(rig.disk().longest_segment, 65536);
}

#[test]
fn seg_max_and_size_max_are_kept() {
    for combination in Combination::ALL {
        let mut config = Config::sectors(2048);
        config.seg_max = Some(3);
        config.size_max = Some(1024);
        let rig = Rig::new(combination, config);
        let mut blk = rig.start();
        assert_eq!(blk.read(0, 100 * 512).unwrap(), content(100 * 512));
        assert!(rig.disk().most_segments <= 3);
        assert!(rig.disk().longest_segment <= 1024);
        let rejected = blk.submit_read(0, vec![0; 4096]).unwrap_err();
        assert_eq!(rejected.error, BlkError::Segments { need: 4, most: 3 });
        assert_eq!(rejected.buffer.len(), 4096);
    }
}

#[test]
fn a_caller_may_ask_for_shorter_segments_and_for_none_longer_than_the_device_takes() {
    let mut config = Config::sectors(256);
    config.size_max = Some(8192);
    let rig = Rig::plain(config);
    let mut blk = rig.start();
    for (asked, longest) in [(1024, 1024), (0, 512), (u32::MAX, 8192)] {
        let before = blk.limit_segments(asked);
        rig.disk().longest_segment = 0;
        assert_eq!(blk.read(0, 16 << 10).unwrap(), content(16 << 10), "{asked}");
        assert_eq!(rig.disk().longest_segment, longest, "{asked}");
        assert_eq!(blk.limit_segments(before), longest);
        assert_eq!(before, 8192);
    }
}

#[test]
fn small_queues_work() {
    for queue in [4, 8, 16] {
        let mut config = Config::sectors(512);
        config.queue = queue;
        let rig = Rig::secure(config);
        let mut blk = rig.start();
        assert_eq!(blk.read(0, 512 * 512).unwrap(), content(512 * 512), "{queue}");
    }
}

#[test]
fn large_blocks_are_the_unit_of_requests() {
    let mut config = Config::sectors(64);
    config.blk_size = Some(4096);
    let mut blk = Rig::plain(config).start();
    let refused = BlkError::Unaligned { sector: 1, bytes: 4096, block: 4096 };
    assert_eq!(blk.read(1, 4096), Err(refused));
    assert!(matches!(blk.read(8, 512), Err(BlkError::Unaligned { .. })));
    assert_eq!(blk.read(8, 4096).unwrap(), content(64 * 512)[4096..8192]);
}

#[test]
fn requests_beyond_the_disk_are_refused_before_anything_is_mapped() {
    case!("BLK-13", Fail);
    let rig = Rig::secure(Config::sectors(100));
    let mut blk = rig.start();
    for (sector, bytes) in
        [(100, 512), (99, 1024), (u64::MAX, 512), (u64::MAX / 512, 512), (u64::MAX / 512 - 1, 4096)]
    {
        let out = BlkError::OutOfRange { sector, bytes, capacity: 100 };
        let rejected = blk.submit_read(sector, vec![7; bytes as usize]).unwrap_err();
        assert_eq!((rejected.error, rejected.buffer), (out, vec![7; bytes as usize]));
        assert_eq!(blk.submit_write(sector, vec![7; bytes as usize]).unwrap_err().error, out);
    }
    assert!(matches!(blk.read(0, 0), Err(BlkError::Unaligned { .. })));
    assert!(matches!(blk.read(0, 511), Err(BlkError::Unaligned { .. })));
    assert_eq!(blk.dma().counts().to_pool, 0);
    assert_eq!(rig.disk().most_held, 0);
}

#[test]
fn read_only_disk_refuses_writes_by_itself() {
    let mut config = Config::sectors(64);
    config.features |= RO;
    let rig = Rig::plain(config);
    let mut blk = rig.start();
    assert_eq!(blk.write(0, &[0; 512]), Err(BlkError::ReadOnly));
    assert_eq!(blk.read(0, 512).unwrap(), content(512));
}

#[test]
fn a_flush_without_the_feature_sends_no_request() {
    let mut config = Config::sectors(64);
    config.features &= !FLUSH;
    let rig = Rig::plain(config);
    let mut blk = rig.start();
    assert_eq!(blk.submit_flush().unwrap_err().error, BlkError::NotOffered);
    assert_eq!(blk.flush(), Ok(()));
    assert_eq!(rig.disk().most_held, 0);
}

#[test]
fn all_slots_in_use_is_a_temporary_error() {
    let rig = Rig::plain(Config::sectors(1024));
    rig.disk().silent = true;
    let mut blk = rig.start();
    let rejected = (0..1000).find_map(|_| blk.submit_read(0, vec![0; 512]).err()).unwrap();
    // Header, data and status each take one of the queue's 256 descriptors.
    assert_eq!(blk.in_flight(), 256 / 3);
    assert!(rejected.error.is_temporary(), "{}", rejected.error);
    assert_eq!(blk.read(0, 512), Err(BlkError::Busy), "`read` needs an idle device");
}

#[test]
fn larger_queue_holds_as_many_requests_as_the_driver_has_slots() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config { queue: 1024, ..Config::sectors(1024) });
        let mut blk = rig.start();
        assert_eq!(blk.queue_size(), 1024);
        for sector in 0..256 {
            blk.submit_read(sector, vec![0; 512]).unwrap();
        }
        assert_eq!(blk.submit_read(0, vec![0; 512]).unwrap_err().error, BlkError::Busy);
        blk.kick();
        let mut read = 0;
        while let Some(completion) = blk.poll() {
            completion.result.unwrap();
            read += completion.buffer.len();
        }
        assert_eq!((read, blk.in_flight()), (256 * 512, 0), "{combination:?}");
    }
}

#[test]
fn exhausted_pool_makes_requests_smaller_or_later_not_failed() {
    let rig = Rig::secure(Config::sectors(8192));
    let mut blk = rig.start();
    let plan = Plan { chunk: 4 << 20, depth: 16 };
    let mut read = Vec::new();
    blk.read_range(0..4 << 20, plan, |_, chunk| read.extend_from_slice(chunk)).unwrap();
    assert_eq!(read, content(4 << 20));
}

#[test]
fn exhausted_pool_is_named() {
    case!("UV-13", Fail);
    let rig = Rig::secure(Config::sectors(8192));
    let mut blk = rig.start();
    let rejected = blk.submit_read(0, vec![0; 4 << 20]).unwrap_err();
    assert!(matches!(rejected.error, BlkError::Dma(DmaError::Pool(_))), "{}", rejected.error);
}

#[test]
fn no_request_fits_a_disk_of_no_sectors() {
    case!("BLK-05", Fail);
    let mut blk = Rig::plain(Config::sectors(0)).start();
    assert_eq!(blk.geometry().usable_bytes(), 0);
    assert!(matches!(blk.read(0, 512), Err(BlkError::OutOfRange { .. })));
}

#[test]
fn capacity_that_changes_is_taken_over() {
    case!("BLK-06", Fail);
    let rig = Rig::plain(Config::sectors(100));
    let mut blk = rig.start();
    for capacity in [50, 2000] {
        let mut registers = rig.device.registers();
        registers.config = Config::sectors(capacity).bytes();
        registers.generation += 1;
        drop(registers);
        blk.check_device();
        assert_eq!(blk.geometry().capacity, capacity);
        assert!(matches!(blk.read(capacity, 512), Err(BlkError::OutOfRange { .. })));
    }
}

#[test]
fn transfer_that_fails_because_the_disk_has_shrunk_meanwhile_says_so() {
    case!("BLK-06", Fail);
    for (capacity, expected) in [
        // The change is not announced: the driver finds it after a refused request.
        (50, BlkError::OutOfRange { sector: 0, bytes: 51_200, capacity: 50 }),
        // The disk has not shrunk, so that the error stays an I/O error.
        (2000, BlkError::Io),
    ] {
        let rig = Rig::secure(Config::sectors(1000));
        let mut blk = rig.start();
        rig.disk().status = Some(1);
        rig.device.registers().config = Config::sectors(capacity).bytes();
        let failed = blk.read_range(0..51_200, Plan::default(), |_, _| ()).unwrap_err();
        assert_eq!((failed.sector, failed.error), (0, expected));
        let failed = blk.write_range(0..51_200, Plan::default(), |_, _| ()).unwrap_err();
        assert_eq!(failed.error, expected);
        assert_eq!((blk.geometry().capacity, blk.in_flight()), (if capacity == 50 { 50 } else { 2000 }, 0));
        assert_eq!(blk.resizes(), 1);
    }
}

#[test]
fn driver_that_goes_away_resets_its_device_and_returns_all_memory() {
    let rig = Rig::plain(Config::sectors(64));
    rig.disk().silent = true;
    let mut blk = rig.start();
    blk.submit_read(0, vec![0; 512]).unwrap();
    blk.kick();
    drop(blk);
    assert_eq!(rig.device.registers().status, 0);
    assert_eq!(rig.machine.pieces_allocated(), 0);
}
