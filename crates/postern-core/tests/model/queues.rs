//! A disk with several queues: each works by itself, the device ends for all at once, and its
//! stated number of queues is checked.

use core::time::Duration;
use papr::lock::{Lock, Stuck};
use postern_cases::case;
use postern_core::disk::jobs::JobError;
use postern_core::disk::partition;
use postern_core::disk::pattern::Pattern;
use sha2::{Digest, Sha256};
use std::vec;
use std::vec::Vec;
use testkit::blk_model::{Config, Rig, content};
use testkit::model::{Combination, Model};
use testkit::virtio_model::VirtioModel;
use virtio_pci::blk::bring_up::Queues;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::blk::geometry::MQ;
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::violation::Violation;

type One = Blk<VirtioModel, Model>;

fn config(queues: u16) -> Config {
    Config { queues, num_queues: Some(queues), ..Config::sectors(256) }
}

fn all(Queues { first, others }: Queues<VirtioModel, Model>) -> Vec<One> {
    let mut all = vec![first];
    all.extend(others);
    for blk in &mut all {
        blk.set_timeout(Duration::from_millis(200));
    }
    all
}

/// The device was reset and holds no memory of the guest.
fn assert_nothing_left(rig: &Rig) {
    assert_eq!(rig.device.registers().status & !128, 0, "reset");
    assert_eq!(rig.machine.pieces_allocated(), 0);
}

#[test]
fn queues_work_at_the_same_time_and_each_on_its_own_ring() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, config(4));
        let mut queues = all(rig.probe_queues(4).unwrap());
        assert_eq!(queues.len(), 4);
        let expected = content(256 * 512);
        std::thread::scope(|scope| {
            for (index, blk) in queues.iter_mut().enumerate() {
                let expected = &expected[index * 0x8000..][..0x8000];
                scope.spawn(move || {
                    let sector = index as u64 * 64;
                    assert_eq!(blk.read(sector, 0x8000).unwrap(), expected);
                    blk.write(sector, &[index as u8; 0x8000]).unwrap();
                    assert_eq!(blk.read(sector, 0x8000).unwrap(), [index as u8; 0x8000]);
                });
            }
        });
        for index in 0..4 {
            assert!(rig.device.registers().notified.contains(&(index as u16)));
            assert_eq!(rig.disk().bytes[index * 0x8000..][..0x8000], [index as u8; 0x8000]);
        }
        drop(queues);
        assert_nothing_left(&rig);
    }
}

#[test]
fn a_driver_of_one_queue_does_not_negotiate_more() {
    let rig = Rig::plain(config(4));
    let queues = all(rig.probe_queues(1).unwrap());
    assert_eq!(queues.len(), 1);
    assert_eq!(rig.device.registers().accepted & MQ.bits(), 0);
    let rig = Rig::plain(Config::sectors(64));
    assert_eq!(all(rig.probe_queues(8).unwrap()).len(), 1, "not offered");
}

#[test]
fn queues_beyond_the_wanted_number_stay_disabled() {
    case!("MQ-01", Clamp);
    let rig = Rig::secure(Config { queues: 5, num_queues: Some(u16::MAX), ..Config::sectors(64) });
    let queues = all(rig.probe_queues(3).unwrap());
    assert_eq!(queues.len(), 3);
    let on: Vec<u16> = rig.device.registers().queues.iter().map(|queue| queue.enable).collect();
    assert_eq!(on, [1, 1, 1, 0, 0]);
}

#[test]
fn zero_queues_are_refused() {
    case!("MQ-01", Refuse);
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config { num_queues: Some(0), ..Config::sectors(64) });
        assert_eq!(rig.probe_queues(4).err(), Some(BlkError::NoQueues));
        assert_nothing_left(&rig);
    }
}

#[test]
fn a_missing_queue_refuses_the_device_and_all_memory_comes_back() {
    case!("MQ-02", Refuse);
    for combination in Combination::ALL {
        for claimed in [3, u16::MAX] {
            let rig =
                Rig::new(combination, Config { queues: 2, num_queues: Some(claimed), ..Config::sectors(64) });
            let error = BlkError::Transport(TransportError::NoQueue(2));
            assert_eq!(rig.probe_queues(4).err(), Some(error));
            assert_nothing_left(&rig);
        }
    }
}

#[test]
fn without_a_confirmed_reset_the_rings_of_a_refused_device_are_kept_from_use() {
    case!("MQ-02", Quarantine);
    let rig = Rig::plain(Config { queues: 2, num_queues: Some(3), ..Config::sectors(64) });
    let device = rig.device.clone();
    rig.machine.on_idle(|| false);
    // The device resets when it is found, and never again.
    let probed = rig.probe_with(4, move || device.registers().faults.no_reset = true);
    assert_eq!(probed.err(), Some(BlkError::Transport(TransportError::NoQueue(2))));
    assert_eq!(rig.machine.pieces_allocated(), 4, "two rings, two tables");
}

#[test]
fn completion_on_another_queue_than_the_request_breaks_the_device() {
    case!("MQ-03", Break);
    let rig = Rig::secure(config(2));
    let mut queues = all(rig.probe_queues(2).unwrap());
    rig.disk().silent = true;
    queues[0].submit_read(0, vec![7; 512]).unwrap();
    queues[0].kick();
    let head = rig.disk().held[0].head;
    rig.device.registers().queues[1].complete(head.into(), 513);
    assert!(queues[1].poll().is_none());
    let reason = BreakReason::Violation(Violation::IndexJump { index: 1, last: 0, posted: 0 });
    assert_eq!(queues[1].broken(), Some(reason));
    let completion = queues[0].poll().unwrap();
    assert_eq!(completion.result, Err(BlkError::Broken(reason)));
    assert_eq!(completion.buffer, vec![0; 512]);
}

#[test]
fn device_that_breaks_at_one_queue_is_broken_at_all_and_reset_once() {
    case!("MQ-04", Break);
    for combination in Combination::ALL {
        let rig = Rig::new(combination, config(3));
        let mut queues = all(rig.probe_queues(3).unwrap());
        rig.disk().silent = true;
        for blk in &mut queues {
            blk.submit_read(0, vec![7; 4096]).unwrap();
            blk.kick();
        }
        rig.device.registers().queues[1].complete(0x1_0000, 1);
        let reason = BreakReason::Violation(Violation::IdOutOfRange { id: 0x1_0000, size: 256 });
        for index in [1, 0, 2] {
            let completion = queues[index].poll().unwrap();
            assert_eq!(completion.result, Err(BlkError::Broken(reason)), "queue {index}");
            assert_eq!(completion.buffer, vec![0; 4096], "reset was confirmed");
            assert_eq!(queues[index].broken(), Some(reason));
            let rejected = queues[index].submit_read(0, vec![1; 512]).unwrap_err();
            assert_eq!(rejected.error, BlkError::Broken(reason));
        }
        assert_nothing_left(&rig);
    }
}

#[test]
fn without_a_confirmed_reset_each_queue_keeps_its_buffers_until_one() {
    case!("MQ-04", Quarantine);
    for combination in Combination::ALL {
        let rig = Rig::new(combination, config(2));
        let mut queues = all(rig.probe_queues(2).unwrap());
        rig.disk().silent = true;
        for blk in &mut queues {
            blk.submit_read(0, vec![7; 4096]).unwrap();
            blk.kick();
        }
        rig.device.registers().faults.no_reset = true;
        queues[0].break_device(BreakReason::Timeout);
        for blk in &mut queues {
            let completion = blk.poll().unwrap();
            assert_eq!(completion.result, Err(BlkError::Broken(BreakReason::Timeout)));
            assert!(completion.buffer.is_empty(), "the device may still write to it");
            assert!(!blk.retry_reset());
        }
        rig.device.registers().faults.no_reset = false;
        if !combination.secure {
            assert_eq!(rig.machine.pieces_allocated(), 4, "two rings, two tables");
        }
        for blk in &mut queues {
            assert!(blk.retry_reset());
        }
        assert_nothing_left(&rig);
    }
}

#[test]
fn queue_that_uses_up_its_part_of_the_pool_does_not_starve_another() {
    let rig = Rig::secure(config(2));
    rig.disk().silent = true;
    let mut queues = all(rig.probe_queues(2).unwrap());
    let mut held = 0;
    while queues[0].submit_read(0, vec![0; 0x1_0000]).is_ok() {
        held += 1;
    }
    assert!(held > 0);
    queues[1].submit_read(0, vec![0; 0x1_0000]).unwrap();
}

#[test]
fn a_pool_too_small_for_all_queues_gets_fewer_queues() {
    let rig = Rig::secure(config(64));
    let mut queues = all(rig.probe_queues(64).unwrap());
    assert!(queues.len() > 1 && queues.len() < 64, "{}", queues.len());
    for blk in &mut queues {
        assert_eq!(blk.read(0, 0x1_0000).unwrap(), content(0x1_0000));
    }
}

#[test]
fn capacity_that_changes_is_seen_at_every_queue() {
    let rig = Rig::plain(config(2));
    let mut queues = all(rig.probe_queues(2).unwrap());
    rig.device.registers().config[..8].copy_from_slice(&8u64.to_le_bytes());
    rig.device.registers().generation += 1;
    queues[0].check_device();
    assert_eq!(queues[1].geometry().capacity, 8);
    assert!(matches!(queues[1].read(8, 512), Err(BlkError::OutOfRange { capacity: 8, .. })));
}

#[test]
fn parts_of_a_disk_are_whole_blocks_and_all_of_it_once() {
    let mut geometry = Rig::plain(Config::sectors(1000)).start().geometry();
    for (capacity, block) in [(0, 512), (1, 512), (7, 512), (1000, 512), (1003, 4096), (u64::MAX >> 9, 512)] {
        (geometry.capacity, geometry.block) = (capacity, block);
        for count in 1..9 {
            let mut at = 0;
            for index in 0..count {
                let part = partition::part(&geometry, index, count);
                assert_eq!(part.start, at);
                assert!(part.end.is_multiple_of(block.into()));
                at = part.end;
            }
            assert_eq!(at, geometry.usable_bytes());
        }
    }
}

#[test]
fn cpus_that_share_a_queue_take_turns() {
    let rig = Rig::secure(Config::sectors(3 << 12));
    let disk = Lock::new("queue", rig.start());
    let geometry = disk.take(&rig.machine).unwrap().geometry();
    let whole = content(3 << 21);
    std::thread::scope(|scope| {
        for index in 0..3 {
            let (disk, whole, machine) = (&disk, &whole, &rig.machine);
            let range = partition::part(&geometry, index, 3);
            scope.spawn(move || {
                let expected = Sha256::digest(&whole[range.start as usize..range.end as usize]);
                assert_eq!(partition::digest(disk, machine, range).unwrap().0[..], expected[..]);
            });
        }
    });
}

#[test]
fn parts_of_a_pattern_make_the_pattern_and_a_wrong_byte_is_found() {
    let rig = Rig::plain(Config { queues: 2, num_queues: Some(2), ..Config::sectors(64) });
    let queues: Vec<_> =
        all(rig.probe_queues(2).unwrap()).into_iter().map(|queue| Lock::new("queue", queue)).collect();
    let geometry = queues[0].take(&rig.machine).unwrap().geometry();
    let pattern = Pattern { seed: 5 };
    for (index, queue) in queues.iter().enumerate() {
        let range = partition::part(&geometry, index, 2);
        partition::write(queue, &rig.machine, range.clone(), pattern).unwrap();
        partition::verify(queue, &rig.machine, range, pattern).unwrap();
    }
    assert_eq!(pattern.first_difference(0, &rig.disk().bytes[..64 * 512]), None);
    assert_eq!(rig.disk().flushes, 2);
    rig.disk().bytes[40 * 512 + 8] ^= 1;
    let found = partition::verify(&queues[1], &rig.machine, partition::part(&geometry, 1, 2), pattern);
    assert_eq!(found, Err(JobError::Mismatch { sector: 40, offset: 40 * 512 + 8 }));
}

#[test]
fn the_wait_for_a_queue_that_another_cpu_keeps_ends() {
    case!("LCK-03", Fail);
    let rig = Rig::plain(Config::sectors(64));
    let disk = Lock::new("queue", rig.start());
    let kept = disk.take(&rig.machine).unwrap();
    let error = partition::digest(&disk, &rig.machine, 0..512).unwrap_err();
    assert_eq!((error.sector, error.error), (0, BlkError::Stuck(Stuck("queue"))));
    drop(kept);
    partition::digest(&disk, &rig.machine, 0..512).unwrap();
}
