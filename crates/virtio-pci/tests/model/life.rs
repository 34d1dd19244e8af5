//! The memory of a device that fails during bring-up, does not confirm its reset, or is restarted.

use core::time::Duration;
use postern_cases::case;
use testkit::blk_model::{Config, Rig};
use testkit::model::Combination;
use testkit::net_device::{CardConfig, Machine};
use testkit::virtio_model::regions;
use virtio_pci::blk::error::{BlkError, BreakReason};
use virtio_pci::net::driver::NetDriver;
use virtio_pci::net::error::NetError;
use virtio_pci::virtio::transport::Transport;

const NORMAL: Combination = Combination { secure: false, access_platform: false };

/// A disk that states three queues, and has two.
fn rig() -> Rig {
    Rig::plain(Config { queues: 2, num_queues: Some(3), ..Config::sectors(64) })
}

#[test]
fn disk_that_fails_half_way_is_reset_and_its_memory_is_free_again() {
    let rig = rig();
    assert!(rig.probe_queues(3).is_err());
    assert_eq!(rig.device.registers().status, 0);
    assert_eq!(rig.machine.pieces_allocated(), 0);
}

#[test]
fn a_disk_that_fails_half_way_without_a_confirmed_reset_keeps_its_memory() {
    case!("RNG-20", Quarantine);
    let rig = rig();
    assert!(rig.probe_with(3, || rig.device.registers().faults.no_reset = true).is_err());
    assert_eq!(rig.machine.pieces_allocated(), 4, "rings and tables of two queues");
}

#[test]
fn a_restarted_disk_keeps_its_timeout_and_takes_no_more_memory() {
    let rig = Rig::plain(Config::sectors(64));
    let mut blk = rig.start();
    blk.set_timeout(Duration::from_millis(123));
    let pieces = rig.machine.pieces_allocated();
    blk.restart().unwrap();
    assert_eq!(blk.timeout(), Duration::from_millis(123));
    assert_eq!(rig.machine.pieces_allocated(), pieces);
    assert_eq!(blk.read(0, 512).map(|data| data.len()), Ok(512));
}

#[test]
fn a_disk_does_not_restart_until_its_reset_is_confirmed() {
    case!("RNG-20", Quarantine);
    let rig = Rig::plain(Config::sectors(64));
    let mut blk = rig.start();
    let pieces = rig.machine.pieces_allocated();
    rig.device.registers().faults.no_reset = true;
    blk.break_device(BreakReason::Stopped);
    assert_eq!(blk.restart(), Err(BlkError::Broken(BreakReason::Stopped)));
    rig.device.registers().faults.no_reset = false;
    blk.restart().unwrap();
    assert_eq!(rig.machine.pieces_allocated(), pieces);
}

#[test]
fn a_disk_that_timed_out_does_not_restart() {
    let rig = Rig::plain(Config::sectors(64));
    let mut blk = rig.start();
    blk.break_device(BreakReason::Timeout);
    assert_eq!(blk.restart(), Err(BlkError::Broken(BreakReason::Timeout)));
}

#[test]
fn a_disk_with_unpolled_completions_does_not_restart() {
    let rig = Rig::plain(Config::sectors(64));
    let mut blk = rig.start();
    blk.submit_flush().unwrap();
    assert_eq!(blk.restart(), Err(BlkError::Busy));
    assert!(blk.poll().is_some());
    blk.restart().unwrap();
}

/// A card whose transmit queue is not there.
fn card() -> Machine {
    Machine::with_config(NORMAL, CardConfig { queues: [256, 0], ..CardConfig::default() })
}

#[test]
fn card_that_fails_half_way_is_reset_and_its_memory_is_free_again() {
    let machine = card();
    assert!(machine.start().is_err());
    assert_eq!(machine.virtio.registers().status, 0);
    machine.assert_all_given_back();
}

#[test]
fn a_card_that_fails_half_way_without_a_confirmed_reset_keeps_its_memory() {
    case!("RNG-20", Quarantine);
    let machine = card();
    let transport = Transport::begin(machine.virtio.clone(), regions(), &machine.model).unwrap();
    let driver = NetDriver::probe(transport, 1, |_| {
        machine.virtio.registers().faults.no_reset = true;
        Ok::<_, NetError>(machine.dma.clone())
    });
    assert!(driver.is_err());
    assert_eq!(machine.model.pieces_allocated(), 1, "the receive ring");
}

#[test]
fn a_card_gives_its_memory_back_once_its_reset_is_confirmed() {
    case!("RNG-20", Quarantine);
    let machine = Machine::new(NORMAL);
    let mut driver = machine.start().unwrap();
    let pieces = machine.model.pieces_allocated();
    machine.virtio.registers().faults.no_reset = true;
    driver.shut_down();
    assert_eq!(machine.model.pieces_allocated(), pieces);
    assert!(driver.restart(1).is_err());
    machine.virtio.registers().faults.no_reset = false;
    driver.shut_down();
    machine.assert_all_given_back();
    driver.restart(1).unwrap();
    assert_eq!(machine.model.pieces_allocated(), pieces);
}
