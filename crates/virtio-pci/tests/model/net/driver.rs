//! The driver with an honest device, in all four combinations.

use postern_cases::case;
use std::vec::Vec;
use svm_dma::dma::DmaError;
use testkit::model::Combination;
use testkit::net_device::SECURE;
use testkit::net_device::{CardConfig, DEVICE_MAC, Machine, everything, send, test_frame};
use virtio_pci::net::error::{Direction, NetError};
use virtio_pci::net::features::{ANNOUNCING, MAC, STATUS, WANTED};
use virtio_pci::net::link::{Link, MacAddr};
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::features::Features;

#[test]
fn frames_go_both_ways_in_all_four_combinations() {
    for combination in Combination::ALL {
        let machine = Machine::new(combination);
        let mut driver = machine.start().unwrap();
        assert_eq!(driver.queue_sizes(), (128, 128));
        assert_eq!(driver.receive_buffers_posted(), 128);
        assert_eq!(
            (driver.dma().bounced(), driver.dma().translated()),
            (combination.secure, combination.access_platform)
        );
        let sizes = [14, 15, 60, 500, 1513, 1514];
        for (n, len) in sizes.into_iter().enumerate() {
            let frame = test_frame(n, len);
            assert!(send(&mut driver, &frame));
            driver.flush();
            machine.turn();
            assert_eq!(machine.wire.borrow_mut().to_peer.pop_front().unwrap(), frame, "{combination:?}");
            machine.deliver(&frame);
            let received = driver.receive().unwrap();
            assert_eq!(received.bytes(), frame, "{combination:?}");
            driver.recycle(received);
            assert!(driver.receive().is_none());
        }
        driver.flush();
        let (statistics, bytes) = (driver.statistics(), sizes.iter().sum::<usize>() as u64);
        assert_eq!((statistics.rx_frames, statistics.rx_bytes), (6, bytes));
        assert_eq!((statistics.tx_frames, statistics.tx_bytes), (6, bytes));
        let copied = driver.dma().counts();
        let expected = if combination.secure { bytes + 6 * 12 } else { 0 };
        assert_eq!((copied.to_pool, copied.from_pool), (expected, expected), "{combination:?}");
        assert_eq!(driver.failure(), None);
        machine.assert_nothing_refused();
        drop(driver);
        machine.assert_all_given_back();
    }
}

#[test]
fn buffers_are_reused_for_a_thousand_frames() {
    for combination in Combination::ALL {
        let machine = Machine::new(combination);
        let mut driver = machine.start().unwrap();
        for n in 0..1000 {
            let frame = test_frame(n, 60 + n % 100);
            assert!(send(&mut driver, &frame));
            machine.deliver(&frame);
            driver.flush();
            machine.turn();
            let received = driver.receive().unwrap();
            assert_eq!(received.bytes(), frame);
            driver.recycle(received);
        }
        driver.flush();
        assert_eq!(driver.receive_buffers_posted(), 128);
        assert_eq!(machine.wire.borrow().to_peer.len(), 1000);
    }
}

#[test]
fn a_batch_is_one_notification() {
    let machine = Machine::new(SECURE);
    let mut driver = machine.start().unwrap();
    machine.virtio.registers().notified.clear();
    for n in 0..20 {
        assert!(send(&mut driver, &test_frame(n, 100)));
        machine.deliver(&test_frame(n, 100));
    }
    while let Some(frame) = driver.receive() {
        driver.recycle(frame);
    }
    driver.flush();
    let mut notified = machine.virtio.registers().notified.clone();
    notified.sort_unstable();
    assert_eq!(notified, [0, 1]);
}

#[test]
fn features_accepted_are_those_offered_and_wanted() {
    for combination in Combination::ALL {
        // NEG-05: a device that offers everything gets none of its offloads.
        let machine = Machine::with_config(
            combination,
            CardConfig { features: Features::from_bits_retain(!0), ..everything() },
        );
        let driver = machine.start().unwrap();
        let mut expected = WANTED | ANNOUNCING | Features::VERSION_1;
        expected.set(Features::ACCESS_PLATFORM, combination.access_platform);
        assert_eq!(driver.features(), expected);
        drop(driver);
        let driver = Machine::new(combination).start().unwrap();
        let mut expected = MAC | STATUS | Features::VERSION_1;
        expected.set(Features::ACCESS_PLATFORM, combination.access_platform);
        assert_eq!(driver.features(), expected);
    }
}

#[test]
fn net_08_a_useless_address_is_replaced_by_a_local_one() {
    case!("NET-08", Fallback);
    for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let machine = Machine::with_config(SECURE, CardConfig { mac: MacAddr(mac), ..CardConfig::default() });
        let driver = machine.start().unwrap();
        assert!(driver.mac_made_up());
        assert!(driver.mac().is_station() && driver.mac().0[0] & 2 == 2, "{}", driver.mac());
    }
    let machine = Machine::with_config(SECURE, CardConfig { features: STATUS, ..CardConfig::default() });
    assert!(machine.start().unwrap().mac_made_up());
}

#[test]
fn net_08_the_address_is_read_once() {
    case!("NET-08", Fallback);
    let machine = Machine::new(SECURE);
    let driver = machine.start().unwrap();
    machine.virtio.registers().config[..6].fill(0xff);
    assert_eq!(driver.mac(), DEVICE_MAC);
    assert!(!driver.mac_made_up());
}

#[test]
fn the_mtu_is_the_device_s_up_to_9000_and_refused_below_576() {
    for (offered, used) in [(576, 576), (1400, 1400), (1500, 1500), (9000, 9000), (65535, 9000)] {
        for combination in Combination::ALL {
            let machine = Machine::with_config(combination, CardConfig { mtu: offered, ..everything() });
            let mut driver = machine.start().unwrap();
            assert_eq!(driver.mtu(), used);
            let largest = test_frame(1, usize::from(used) + 14);
            assert!(send(&mut driver, &largest));
            assert!(driver.frame(largest.len() + 1).is_none());
            driver.flush();
            machine.deliver(&largest);
            assert_eq!(machine.wire.borrow_mut().to_peer.pop_front().unwrap(), largest);
            assert_eq!(driver.receive().unwrap().bytes(), largest, "{offered} {combination:?}");
            machine.assert_nothing_refused();
        }
    }
    let machine = Machine::with_config(SECURE, CardConfig { mtu: 575, ..everything() });
    assert_eq!(machine.start().err(), Some(NetError::Mtu(575)));
    machine.assert_all_given_back();
    assert_eq!(machine.virtio.registers().status, 0);
}

#[test]
fn small_queues_work() {
    for combination in Combination::ALL {
        let machine =
            Machine::with_config(combination, CardConfig { queues: [2, 1], ..CardConfig::default() });
        let mut driver = machine.start().unwrap();
        assert_eq!(driver.queue_sizes(), (2, 1));
        for n in 0..10 {
            let frame = test_frame(n, 1000);
            assert!(send(&mut driver, &frame));
            assert!(!send(&mut driver, &frame));
            driver.flush();
            machine.deliver(&frame);
            let received = driver.receive().unwrap();
            assert_eq!(received.bytes(), frame);
            driver.recycle(received);
        }
    }
}

#[test]
fn transmission_is_refused_while_all_buffers_are_in_flight() {
    for combination in Combination::ALL {
        let machine = Machine::new(combination);
        machine.device.borrow_mut().hold_tx = true;
        let mut driver = machine.start().unwrap();
        let accepted = (0..1000).take_while(|n| send(&mut driver, &test_frame(*n, 100))).count();
        assert_eq!(accepted, 64);
        driver.flush();
        machine.turn();
        assert!(!driver.can_transmit());
        machine.device.borrow_mut().release_held();
        assert!(driver.can_transmit());
        assert_eq!(driver.statistics().tx_frames, 64);
        assert_eq!(driver.failure(), None);
    }
}

#[test]
fn a_pool_that_is_too_small_means_fewer_buffers_and_no_loss() {
    // A frame of the pool for the rings, three for packets.
    let machine = Machine::with_config(SECURE, CardConfig { quota: 4, ..CardConfig::default() });
    let mut driver = machine.start().unwrap();
    let posted = driver.receive_buffers_posted();
    assert!(posted > 32 && posted < 128, "{posted}");
    // Room was kept for an answer.
    let frame = test_frame(1, 1514);
    for _ in 0..20 {
        while send(&mut driver, &frame) {}
        machine.wire.borrow_mut().to_stack.push_back(frame.clone());
        driver.flush();
        machine.turn();
        while let Some(received) = driver.receive() {
            assert_eq!(received.bytes(), frame);
            driver.recycle(received);
        }
    }
    let statistics = driver.statistics();
    assert!(statistics.tx_no_room > 0 && statistics.tx_frames > 200, "{statistics:?}");
    assert_eq!((driver.failure(), statistics.rx_frames), (None, 20));
    // The room of sent frames comes back.
    for _ in 0..3 {
        driver.flush();
        machine.turn();
    }
    assert_eq!(driver.receive_buffers_posted(), posted);
    assert!(machine.wire.borrow().to_peer.iter().all(|sent| *sent == frame));
}

#[test]
fn no_room_in_the_pool_refuses_the_device() {
    let machine = Machine::with_config(SECURE, CardConfig { quota: 0, ..CardConfig::default() });
    let error = machine.start().err().unwrap();
    assert!(matches!(error, NetError::Transport(TransportError::Dma(DmaError::Pool(_)))), "{error:?}");
    machine.assert_all_given_back();
    // Rings in the only frame leave no room for the longest packets.
    let machine = Machine::with_config(SECURE, CardConfig { quota: 1, mtu: 9000, ..everything() });
    let error = machine.start().err();
    assert!(matches!(error, Some(NetError::Dma(DmaError::Pool(_)))), "{error:?}");
    machine.assert_all_given_back();
}

#[test]
fn a_device_without_a_transmit_queue_is_refused_and_keeps_nothing() {
    for combination in Combination::ALL {
        let machine =
            Machine::with_config(combination, CardConfig { queues: [256, 0], ..CardConfig::default() });
        let no_queue = TransportError::NoQueue(Direction::Transmit.queue());
        assert_eq!(machine.start().err(), Some(NetError::Transport(no_queue)));
        machine.assert_all_given_back();
    }
}

#[test]
fn the_link_follows_the_status_word() {
    let machine = Machine::new(SECURE);
    let mut driver = machine.start().unwrap();
    assert!(driver.is_up());
    machine.virtio.registers().config[6] = 0;
    assert!(!driver.is_up());
    machine.virtio.registers().config[6] = 1;
    assert!(driver.is_up());
    // NEG-12, NET-10: an unstable status word changes nothing.
    machine.virtio.registers().config[6] = 0;
    machine.virtio.registers().faults.restless = true;
    assert!(driver.is_up());
    machine.virtio.registers().faults.restless = false;
    assert!(!driver.is_up());
    assert_eq!(driver.failure(), None);
    // Without the feature the word means nothing.
    let machine = Machine::with_config(SECURE, CardConfig { features: MAC, ..CardConfig::default() });
    machine.virtio.registers().config[6] = 0;
    assert!(machine.start().unwrap().is_up());
}

#[test]
fn a_driver_that_was_shut_down_does_nothing_more() {
    let machine = Machine::new(SECURE);
    let mut driver = machine.start().unwrap();
    driver.shut_down();
    assert_eq!(driver.failure(), Some(NetError::Stopped));
    assert_eq!(machine.virtio.registers().status, 0);
    machine.assert_all_given_back();
    assert!(driver.receive().is_none() && driver.frame(60).is_none());
    assert!(!driver.can_transmit() && !driver.is_up());
    driver.flush();
    assert_eq!(driver.failure(), Some(NetError::Stopped));
}

#[test]
fn a_sent_frame_has_no_byte_of_the_one_before() {
    for combination in Combination::ALL {
        let machine =
            Machine::with_config(combination, CardConfig { queues: [256, 1], ..CardConfig::default() });
        let mut driver = machine.start().unwrap();
        let frames = [std::vec![0xa5; 1514], std::vec![0x5a; 60]];
        for frame in &frames {
            assert!(send(&mut driver, frame));
            driver.flush();
            machine.turn();
        }
        let sent: Vec<Vec<u8>> = machine.wire.borrow().to_peer.iter().cloned().collect();
        assert_eq!(sent, frames);
    }
}
