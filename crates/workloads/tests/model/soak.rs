//! Random work with resets: everything comes back, and a wrong answer is found.

use std::sync::Arc;
use svm_dma::dma::{DeviceId, DmaSystem};
use testkit::blk_model::{Config, Rig};
use testkit::model::{Combination, Model};
use testkit::virtio_model::{VirtioModel, regions};
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::virtio::transport::Transport;
use workloads::soak::{Counters, Soak, SoakError};

const SECTORS: u64 = 2048;

/// Work with a reset after each 60 steps, of which the disk does not answer the last ones.
fn work(rig: &Rig, blk: &mut Blk<VirtioModel, Model>) -> Result<Counters, SoakError> {
    let mut soak = Soak::new(5, SECTORS * 512, true);
    for step in 1..=400 {
        rig.disk().silent = step % 60 > 57;
        soak.step(blk)?;
        if step % 60 == 0 {
            blk.break_device(BreakReason::Stopped);
            // A device that was reset has forgotten what it held.
            rig.disk().held.clear();
            soak.take(blk)?;
            blk.restart().map_err(SoakError::Request)?;
        }
    }
    rig.disk().silent = false;
    soak.finish(blk)?;
    Ok(soak.counters())
}

#[test]
fn random_work_survives_resets_and_gives_everything_back() {
    for combination in Combination::ALL {
        let rig = Rig::new(combination, Config::sectors(SECTORS));
        rig.disk().shuffle = true;
        let counters = work(&rig, &mut rig.start()).unwrap();
        assert!(counters.requests > 100 && counters.lost > 0, "{combination:?} {counters:?}");
    }
}

#[test]
fn random_work_discards_and_makes_zeros_within_the_disk_s_limits() {
    for combination in Combination::ALL {
        let config =
            Config { discard: Some((24, 3, 8)), write_zeroes: Some((64, 1, 1)), ..Config::sectors(SECTORS) };
        let rig = Rig::new(combination, config);
        rig.disk().shuffle = true;
        let counters = work(&rig, &mut rig.start()).unwrap();
        // This disk changes what it discards.
        let Counters { discards, zeroes, undefined, .. } = counters;
        assert!(discards > 0 && zeroes > 0 && undefined > 0, "{combination:?} {counters:?}");
        let disk = rig.disk();
        let most = |kind| disk.ranges.iter().filter(|range| range.0 == kind).map(|range| range.2).max();
        assert_eq!((most(11), most(13)), (Some(24), Some(64)));
    }
}

#[test]
fn disk_of_blocks_longer_than_its_limits_is_not_asked() {
    let config =
        Config { discard: Some((7, 1, 1)), write_zeroes: Some((4, 9, 0)), ..Config::sectors(SECTORS) };
    let rig = Rig::new(Combination::ALL[0], config);
    let counters = work(&rig, &mut rig.start()).unwrap();
    assert_eq!((counters.discards, counters.zeroes, rig.disk().ranges.len()), (0, 0, 0));
}

#[test]
fn small_pool_is_used_up_now_and_then_and_empty_at_the_end() {
    let rig = Rig::secure(Config::sectors(SECTORS));
    rig.disk().shuffle = true;
    let system = DmaSystem::secure(Arc::new(rig.machine.clone()), rig.machine.share(12), 1);
    let transport = Transport::begin(rig.device.clone(), regions(), &rig.machine).unwrap();
    let dma =
        |translated| system.device(DeviceId::from_routing(0, 8), translated, None).map_err(BlkError::Dma);
    let mut blk = Blk::probe(transport, dma).unwrap();
    let counters = work(&rig, &mut blk).unwrap();
    assert!(counters.refused > 0, "{counters:?}");
    drop(blk);
    let pool = system.pool_statistics().unwrap();
    assert_eq!((pool.slots_in_use, pool.bytes_quarantined, pool.mistakes), (0, 0, 0), "{pool:?}");
    assert!(pool.failures > 0);
}

#[test]
fn block_that_changes_by_itself_is_found() {
    let rig = Rig::secure(Config::sectors(SECTORS));
    let mut blk = rig.start();
    let mut soak = Soak::new(5, SECTORS * 512, false);
    soak.finish(&mut blk).unwrap();
    rig.disk().bytes[5 * 4096 + 7] ^= 1;
    assert_eq!(soak.finish(&mut blk), Err(SoakError::Mismatch(5 * 4096)));
}

#[test]
fn write_that_is_not_carried_out_is_found() {
    let rig = Rig::secure(Config::sectors(SECTORS));
    let before = rig.disk().bytes.clone();
    let mut blk = rig.start();
    let mut soak = Soak::new(5, SECTORS * 512, true);
    for _ in 0..100 {
        soak.step(&mut blk).unwrap();
    }
    soak.finish(&mut blk).unwrap();
    rig.disk().bytes = before;
    assert!(matches!(soak.finish(&mut blk), Err(SoakError::Mismatch(_))));
}

#[test]
fn a_broken_disk_is_not_restarted_before_its_reset_is_confirmed() {
    let rig = Rig::secure(Config::sectors(SECTORS));
    let mut blk = rig.start();
    blk.break_device(BreakReason::Timeout);
    assert_eq!(blk.restart(), Err(BlkError::Broken(BreakReason::Timeout)));
}

#[test]
fn a_disk_with_requests_in_flight_is_not_restarted() {
    let rig = Rig::secure(Config::sectors(SECTORS));
    let mut blk = rig.start();
    blk.submit_flush().unwrap();
    assert_eq!(blk.restart(), Err(BlkError::Busy));
    assert!(blk.poll().is_some());
    assert_eq!(blk.restart(), Ok(()));
    assert_eq!(blk.read(0, 512).unwrap().len(), 512);
}
