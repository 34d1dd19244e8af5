//! Random hosts, a bounded number of each. The fuzz targets give the same functions more time.

use super::accounts::assert_bounded;
use super::device_side::TIMEOUT;
use super::{blk, calls, cmdline, frames, net, pci, ring, tree};
use crate::model::{Combination, Model};
use crate::trees::POWER9_256M;
use core::time::Duration;
use postern_core::disk::pattern::splitmix64;
use proptest::prelude::*;
use std::vec::Vec;
use svm_dma::dma::{DeviceId, Dma};
use svm_dma::pool::DeviceStatistics;

/// Decisions for a host.
fn script(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn hosts(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(hosts(600))]

    #[test]
    fn no_disk_breaks_a_rule(bytes in script(800)) {
        blk(&bytes);
    }

    #[test]
    fn no_card_breaks_a_rule(bytes in script(800)) {
        net(&bytes);
    }

    #[test]
    fn no_caller_s_answer_breaks_a_rule(bytes in script(200)) {
        calls(&bytes);
    }

    #[test]
    fn no_wire_breaks_a_rule(bytes in script(600)) {
        frames(&bytes);
    }
}

proptest! {
    #![proptest_config(hosts(1000))]

    #[test]
    fn no_ring_breaks_a_rule(bytes in script(300)) {
        ring(&bytes);
    }

    #[test]
    fn no_config_space_breaks_a_rule(bytes in script(400)) {
        pci(&bytes);
    }

    #[test]
    fn no_command_line_breaks_a_rule(bytes in script(300)) {
        cmdline(&bytes);
    }

    #[test]
    fn no_tree_breaks_a_rule(at in proptest::collection::vec((0..POWER9_256M.len(), any::<u8>()), 0..6)) {
        let mut blob = POWER9_256M.to_vec();
        for (at, byte) in at {
            blob[at] = byte;
        }
        tree(&blob);
    }
}

/// So long that queues are full now and then, as libFuzzer makes them.
#[test]
fn no_device_breaks_a_rule_in_a_long_life() {
    for seed in 0..40 {
        let words = (seed << 32..).map(splitmix64).take(512);
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        super::blk(&bytes);
        super::net(&bytes);
    }
}

/// Lives of arbitrary bytes, except the first two, which make the guest secure and the device's part of the pool large.
/// A faulty driver fails an assertion in at least one of them.
fn lives(life: impl Fn(&[u8])) {
    let secure = Combination::ALL.iter().position(|combination| combination.secure).unwrap() as u8;
    for seed in 0..64 {
        let words = (seed << 32..).map(splitmix64).take(100);
        let rest = words.flat_map(u64::to_le_bytes);
        life(&[secure, 0].into_iter().chain(rest).collect::<Vec<u8>>());
    }
}

/// A driver's fault: it forgets what it has lent.
fn lose_slots(dma: &Dma<Model>) {
    for _ in 0..8 {
        drop(dma.map_from_device(alloc::vec![0; 64]));
    }
}

#[test]
#[should_panic(expected = "a wait without end")]
fn disk_s_driver_that_waits_for_ever_is_found() {
    lives(|bytes| blk::life(bytes, Duration::MAX, |_| {}));
}

#[test]
#[should_panic(expected = "waited for without end")]
fn card_s_driver_that_waits_for_ever_is_found() {
    lives(|bytes| net::life(bytes, Duration::MAX, |_| {}));
}

#[test]
#[should_panic(expected = "more slots than requests need")]
fn disk_s_driver_that_loses_slots_is_found_before_its_end() {
    lives(|bytes| blk::life(bytes, TIMEOUT, lose_slots));
}

#[test]
#[should_panic(expected = "more slots than requests need")]
fn card_s_driver_that_loses_slots_is_found_before_its_end() {
    lives(|bytes| net::life(bytes, TIMEOUT, lose_slots));
}

#[test]
#[should_panic(expected = "more than its part of the pool")]
fn device_with_more_than_its_part_of_the_pool_is_found() {
    let device = DeviceStatistics {
        device: DeviceId::from_routing(0, 8),
        quota_frames: 4,
        frames: 5,
        slots_in_use: 0,
        bytes_in_use: 0,
        high_water_bytes: 0,
        bytes_quarantined: 0,
        failures: 0,
    };
    assert_bounded(&[device], 1);
}
