//! One violation of the device at a time.

use core::time::Duration;
use papr::addr::Gpa;
use postern_cases::case;
use std::string::ToString;
use std::vec;
use testkit::blk_model::{Config, Rig, content};
use testkit::model::{Combination, Model};
use testkit::unchecked::LetGo;
use testkit::virtio_model::VirtioModel;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::violation::Violation;

fn start(rig: &Rig) -> Blk<VirtioModel, Model> {
    let mut blk = rig.start();
    blk.set_timeout(Duration::from_millis(200));
    blk
}

/// Expects that the device is latched broken, was reset, and left nothing behind.
fn assert_broken(rig: &Rig, blk: &mut Blk<VirtioModel, Model>, reason: BreakReason) {
    assert_eq!(blk.broken(), Some(reason));
    assert_eq!(rig.device.registers().status, 0, "reset");
    assert_eq!(blk.in_flight(), 0);
    let rejected = blk.submit_read(0, vec![1; 512]).unwrap_err();
    assert_eq!((rejected.error, rejected.buffer), (BlkError::Broken(reason), vec![1; 512]));
    assert_eq!(rig.machine.pieces_allocated(), 0);
    let notified = rig.device.registers().notified.len();
    blk.kick();
    blk.check_device();
    assert!(blk.poll().is_none());
    assert_eq!(rig.device.registers().notified.len(), notified);
}

#[test]
fn each_failing_or_undefined_status_is_an_error() {
    case!("BLK-01", Fail);
    for combination in Combination::ALL {
        for (status, error) in [
            (1, BlkError::Io),
            (2, BlkError::Unsupported),
            (3, BlkError::Status(3)),
            (255, BlkError::Status(255)),
        ] {
            let rig = Rig::new(combination, Config::sectors(64));
            rig.disk().status = Some(status);
            let mut blk = start(&rig);
            blk.submit_read(0, vec![9; 512]).unwrap();
            blk.kick();
            let completion = blk.wait().unwrap();
            assert_eq!(completion.result, Err(error));
            assert_eq!(completion.buffer, vec![0; 512], "nothing of a failed read is seen");
            assert_eq!(blk.write(0, &[0; 512]), Err(error));
            assert_eq!(blk.flush(), Err(error));
            assert_eq!(blk.broken(), None);
            rig.disk().status = None;
            assert_eq!(blk.read(0, 512).map(|data| data.len()), Ok(512), "not latched");
        }
    }
}

#[test]
fn status_byte_is_read_once() {
    case!("BLK-03", Ignore);
    let rig = Rig::secure(Config::sectors(64));
    rig.disk().silent = true;
    let mut blk = start(&rig);
    blk.submit_read(0, vec![9; 512]).unwrap();
    blk.kick();
    let chain = rig.disk().held[0].clone();
    let status = chain.buffers[2].bus;
    rig.machine.watch(Gpa(status));
    rig.machine.device(false).write(status, &[1]).unwrap();
    rig.device.registers().queues[0].complete(chain.head.into(), 513);
    assert_eq!(blk.poll().unwrap().result, Err(BlkError::Io));
    assert_eq!(rig.machine.reads_of_watched(), 1);
}

#[test]
fn used_len_too_short_for_a_read_breaks_the_device() {
    case!("RNG-08", Break);
    for combination in Combination::ALL {
        for written in [0, 1, 512] {
            let rig = Rig::new(combination, Config::sectors(64));
            rig.disk().written = Some(written);
            let mut blk = start(&rig);
            let violation = BreakReason::Violation(Violation::TooShort { id: 0, written, needed: 513 });
            assert_eq!(blk.read(0, 512), Err(BlkError::Broken(violation)));
            assert_broken(&rig, &mut blk, violation);
        }
    }
}

#[test]
fn used_len_too_long_breaks_the_device() {
    case!("RNG-07", Break);
    let rig = Rig::secure(Config::sectors(64));
    rig.disk().written = Some(514);
    let mut blk = start(&rig);
    let violation = BreakReason::Violation(Violation::TooLong { id: 0, written: 514, allowed: 513 });
    assert_eq!(blk.read(0, 512), Err(BlkError::Broken(violation)));
    assert_broken(&rig, &mut blk, violation);
}

#[test]
fn a_used_length_of_zero_is_ignored_for_a_write() {
    case!("RNG-09", Ignore);
    let rig = Rig::secure(Config::sectors(64));
    rig.disk().written = Some(0);
    let mut blk = start(&rig);
    blk.write(0, &[5; 1024]).unwrap();
    assert_eq!(rig.disk().bytes[..1024], [5; 1024]);
}

#[test]
fn used_id_that_is_wrong_breaks_the_device_and_fails_all_requests() {
    case!("RNG-02", Break);
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config::sectors(64));
        rig.disk().id_offset = 0x1_0000;
        let mut blk = start(&rig);
        for _ in 0..5 {
            blk.submit_read(0, vec![3; 512]).unwrap();
        }
        blk.kick();
        let reason = BreakReason::Violation(Violation::IdOutOfRange { id: 0x1_0000, size: 256 });
        for _ in 0..5 {
            let completion = blk.poll().unwrap();
            assert_eq!(completion.result, Err(BlkError::Broken(reason)));
            assert_eq!(completion.buffer, vec![0; 512], "reset was confirmed: buffers come back, empty");
        }
        assert_broken(&rig, &mut blk, reason);
    }
}

#[test]
fn silent_device_is_broken_when_timeout_ends() {
    case!("RNG-19", Break);
    case!("IRQ-06", Work);
    for clock_runs in [true, false] {
        let rig = Rig::secure(Config::sectors(64));
        rig.disk().silent = true;
        let mut blk = start(&rig);
        blk.set_timeout(Duration::from_millis(5));
        rig.machine.set_clock_runs(clock_runs);
        assert_eq!(blk.read(0, 512), Err(BlkError::Broken(BreakReason::Timeout)));
        assert_broken(&rig, &mut blk, BreakReason::Timeout);
    }
}

#[test]
fn without_a_confirmed_reset_buffers_and_slots_are_kept_from_use() {
    case!("RNG-19", Quarantine);
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config::sectors(64));
        let mut blk = start(&rig);
        rig.disk().silent = true;
        rig.device.registers().faults.no_reset = true;
        blk.submit_read(0, vec![3; 4096]).unwrap();
        blk.kick();
        let completion = blk.wait().unwrap();
        assert_eq!(completion.result, Err(BlkError::Broken(BreakReason::Timeout)));
        assert!(completion.buffer.is_empty(), "the device may still write to it");
        let dma = blk.dma().clone();
        if !combination.secure {
            assert_eq!(rig.machine.pieces_allocated(), 2, "ring and table");
        }
        assert!(!blk.retry_reset());
        rig.device.registers().faults.no_reset = false;
        assert!(blk.retry_reset());
        assert_eq!(rig.machine.pieces_allocated(), 0);
        let mapping = dma.map_from_device(vec![0; 512]).unwrap();
        dma.unmapped(mapping);
    }
}

#[test]
fn a_late_completion_is_ignored() {
    case!("RNG-20", Ignore);
    case!("LIF-06", Ignore);
    let rig = Rig::secure(Config::sectors(64));
    rig.disk().silent = true;
    rig.device.registers().faults.no_reset = false;
    let mut blk = start(&rig);
    blk.submit_read(0, vec![0; 512]).unwrap();
    blk.kick();
    // The device does not follow the reset: it keeps its addresses of the rings and of the request.
    let (mut queue, chain) = (rig.device.registers().queues[0].clone(), rig.disk().held[0].clone());
    assert_eq!(blk.wait().unwrap().result, Err(BlkError::Broken(BreakReason::Timeout)));
    queue.bus.write(chain.buffers[2].bus, &[0]).unwrap();
    queue.complete(chain.head.into(), 513);
    assert!(rig.machine.refused().is_empty(), "the writes reached the pool");
    assert!(blk.poll().is_none());
    assert_eq!(blk.broken(), Some(BreakReason::Timeout));
}

#[test]
fn device_that_needs_a_reset_during_io_is_broken() {
    case!("LIF-01", Break);
    case!("NEG-11", Break);
    let rig = Rig::secure(Config::sectors(64));
    rig.disk().silent = true;
    let mut blk = start(&rig);
    rig.device.registers().faults.status_bits = 0x40;
    let error = blk.read(0, 512).unwrap_err();
    assert_eq!(error, BlkError::Broken(BreakReason::Transport(TransportError::NeedsReset)));
    assert_eq!(blk.broken(), Some(BreakReason::Transport(TransportError::NeedsReset)));
}

#[test]
fn removed_device_is_broken() {
    case!("CAP-14", Break);
    case!("NEG-15", Break);
    let rig = Rig::plain(Config::sectors(64));
    let mut blk = start(&rig);
    rig.disk().silent = true;
    rig.device.registers().faults.gone = true;
    let error = blk.read(0, 512).unwrap_err();
    assert_eq!(error, BlkError::Broken(BreakReason::Transport(TransportError::Gone)));
}

#[test]
fn lost_notification_is_repeated() {
    case!("RNG-15", Work);
    let rig = Rig::plain(Config::sectors(64));
    let mut blk = start(&rig);
    blk.submit_read(0, vec![0; 512]).unwrap();
    // The device says that it polls, and sleeps.
    let used = rig.device.registers().queues[0].used;
    rig.machine.device(false).write16(used, 1).unwrap();
    blk.kick();
    assert!(rig.device.registers().notified.is_empty());
    assert_eq!(blk.wait().unwrap().buffer, content(512));
}

#[test]
fn absurd_configurations_are_refused() {
    case!("BLK-05", Refuse);
    case!("BLK-08", Refuse);
    let config = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::sectors(64);
        change(&mut config);
        Rig::plain(config).probe().err()
    };
    assert_eq!(config(&|_| {}), None);
    for capacity in [u64::MAX, u64::MAX / 512 + 1] {
        assert_eq!(config(&|c| c.capacity = capacity), Some(BlkError::Capacity(capacity)));
    }
    assert_eq!(config(&|c| c.capacity = u64::MAX / 512), None);
    for size in [0, 1, 511, 513, 0xffff_ffff] {
        assert_eq!(config(&|c| c.blk_size = Some(size)), Some(BlkError::BlockSize(size)));
    }
    for size in [0, 1, 511] {
        assert_eq!(config(&|c| c.size_max = Some(size)), Some(BlkError::SizeMax(size)));
    }
}

#[test]
fn blocks_larger_than_a_request_are_refused() {
    case!("BLK-14", Refuse);
    let config = |block: u32, limits: Option<(u32, u32)>| {
        let mut config = Config { blk_size: Some(block), ..Config::sectors(1 << 23) };
        if let Some((segments, bytes)) = limits {
            (config.seg_max, config.size_max) = (Some(segments), Some(bytes));
        }
        Rig::plain(config).probe().err()
    };
    let most = 2 << 20;
    assert_eq!(config(most as u32, None), None);
    for block in [4 << 20, 1 << 30, 1 << 31] {
        assert_eq!(config(block, None), Some(BlkError::BlockTooLarge { block, most }));
    }
    assert_eq!(config(4096, Some((8, 512))), None);
    assert_eq!(config(4096, Some((7, 512))), Some(BlkError::BlockTooLarge { block: 4096, most: 7 * 512 }));
    assert_eq!(config(4096, Some((0, 4096))), None);
}

#[test]
fn seg_max_of_zero_means_one() {
    case!("BLK-08", Clamp);
    for seg_max in [0, 1] {
        let mut config = Config::sectors(64);
        config.seg_max = Some(seg_max);
        let rig = Rig::secure(config);
        assert_eq!(start(&rig).read(0, 64 * 512).unwrap(), content(64 * 512));
        assert_eq!(rig.disk().most_segments, 1);
    }
}

#[test]
fn writable_disk_that_rejects_writes_fails_once() {
    case!("BLK-09", Fail);
    let rig = Rig::secure(Config::sectors(64));
    rig.disk().status = Some(1);
    let mut blk = start(&rig);
    assert_eq!(blk.write(0, &[1; 512]), Err(BlkError::Io));
    assert_eq!(rig.device.registers().notified.len(), 1, "no retry");
}

#[test]
fn names_are_bounded_and_shown_escaped() {
    case!("BLK-12", Clamp);
    for (name, expected) in [
        (&b"0123456789abcdefghijABC"[..20], "0123456789abcdefghij"),
        (&b""[..], ""),
        (&b"a\0b"[..], "a"),
        (&[0xff, b'x', 0xc3][..], "\\xffx\\xc3"),
        (&b"\nEXIT: STATUS=0\n\x1b"[..], "\\nEXIT: STATUS=0\\n\\x1b"),
    ] {
        let rig = Rig::secure(Config::sectors(64));
        rig.disk().name = name.to_vec();
        assert_eq!(start(&rig).id().unwrap().to_string(), expected);
    }
}

#[test]
fn slot_of_a_request_is_zero_before_the_device_writes() {
    case!("UV-14", Ignore);
    let rig = Rig::secure(Config::sectors(64));
    let mut blk = start(&rig);
    blk.write(0, &[0x5a; 4096]).unwrap();
    rig.disk().silent = true;
    blk.submit_read(0, vec![0x77; 4096]).unwrap();
    blk.kick();
    let buffer = rig.disk().held[0].buffers[1];
    assert_eq!(rig.machine.device(false).read(buffer.bus, 4096), Ok(vec![0; 4096]));
}

#[test]
fn data_that_changes_after_completion_is_not_seen() {
    case!("BLK-11", Ignore);
    let rig = Rig::secure(Config::sectors(64));
    let mut blk = start(&rig);
    blk.submit_read(0, vec![0; 512]).unwrap();
    blk.kick();
    let completion = blk.wait().unwrap();
    let pool = rig.machine.shared_frames();
    for frame in pool {
        rig.machine.poke(Gpa(frame << 16), &[0xff; 65536]);
    }
    assert_eq!(completion.buffer, content(512));
}

#[test]
fn noise_over_the_whole_pool_breaks_the_device_and_fails_all_requests() {
    let rig = Rig::secure(Config::sectors(64));
    rig.disk().silent = true;
    let mut blk = start(&rig);
    for n in 0..8 {
        blk.submit_read(n, vec![0; 512]).unwrap();
    }
    blk.kick();
    for frame in rig.machine.shared_frames() {
        rig.machine.poke(Gpa(frame << 16), &[0xc3; 65536]);
    }
    let mut failed = 0;
    while let Some(completion) = blk.wait() {
        assert!(matches!(completion.result, Err(BlkError::Broken(BreakReason::Violation(_)))));
        failed += 1;
    }
    assert_eq!(failed, 8);
}
