//! The network driver and a device that violates the protocol: each row of the NET cases, and noise.

use core::time::Duration;
use netstack::random::Generator;
use netstack::stack::Stack;
use netstack::stack::StackError;
use papr::clock::{Clock, ticks};
use postern_cases::case;
use std::boxed::Box;
use std::vec::Vec;
use testkit::model::{Combination, POOL_BASE};
use testkit::net_device::{Attached, CardConfig, Driver, Machine, NetDevice, SECURE, send, test_frame};
use testkit::network::{SECOND, STATIC};
use testkit::wire::Random;
use virtio_pci::net::error::{Direction, NetError};
use virtio_pci::net::link::Link;
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::violation::Violation;

/// A started driver in each of the four combinations.
fn in_every_combination(check: impl Fn(Machine, Driver)) {
    for combination in Combination::ALL {
        let machine = Machine::new(combination);
        let driver = machine.start().unwrap();
        check(machine, driver);
    }
}

/// The device was reset, and the driver has all memory back.
fn assert_broken(machine: &Machine, driver: &mut Driver, why: NetError) {
    assert_eq!(driver.failure(), Some(why));
    assert_eq!(machine.virtio.registers().status, 0, "reset");
    machine.assert_all_given_back();
    assert!(driver.receive().is_none() && !driver.can_transmit() && driver.frame(60).is_none());
    driver.flush();
    assert_eq!(driver.failure(), Some(why), "the first reason stays");
}

#[test]
fn net_01_less_than_a_header_is_dropped() {
    case!("NET-01", Drop);
    case!("RNG-08", Drop);
    in_every_combination(|machine, mut driver| {
        for written in [0, 1, 11] {
            machine.device.borrow_mut().mangle = Some(match written {
                0 => |_, written| *written = 0,
                1 => |_, written| *written = 1,
                _ => |_, written| *written = 11,
            });
            machine.deliver(&test_frame(1, 60));
            assert!(driver.receive().is_none());
        }
        assert_eq!(driver.statistics().rx_no_header, 3);
        still_works(&machine, &mut driver);
    });
}

#[test]
fn net_02_less_than_an_ethernet_header_is_dropped() {
    case!("NET-02", Drop);
    in_every_combination(|machine, mut driver| {
        for len in [0, 1, 13] {
            machine.deliver(&test_frame(1, len));
            assert!(driver.receive().is_none());
        }
        assert_eq!(driver.statistics().rx_no_frame, 3);
        still_works(&machine, &mut driver);
    });
}

/// The device has not been given up, and all its buffers are back with it.
fn still_works(machine: &Machine, driver: &mut Driver) {
    machine.device.borrow_mut().mangle = None;
    driver.flush();
    assert_eq!(driver.receive_buffers_posted(), 128);
    machine.deliver(&test_frame(2, 14));
    assert_eq!(driver.receive().unwrap().bytes(), test_frame(2, 14));
    assert_eq!(driver.failure(), None);
}

#[test]
fn net_03_more_than_the_buffer_breaks_the_device() {
    case!("NET-03", Break);
    in_every_combination(|machine, mut driver| {
        machine.device.borrow_mut().mangle = Some(|_, written| *written = 1531);
        machine.deliver(&test_frame(1, 60));
        assert!(driver.receive().is_none());
        let Some(NetError::Violation(Direction::Receive, violation)) = driver.failure() else {
            panic!("no violation seen")
        };
        assert!(
            matches!(violation, Violation::TooLong { written: 1531, allowed: 1530, .. }),
            "{violation:?}"
        );
        assert_broken(&machine, &mut driver, NetError::Violation(Direction::Receive, violation));
    });
}

#[test]
fn net_05_06_07_the_header_of_a_received_frame_is_ignored() {
    case!("NET-05", Ignore);
    case!("NET-06", Ignore);
    case!("NET-07", Ignore);
    case!("NEG-07", Ignore);
    in_every_combination(|machine, mut driver| {
        // Checksum to be done past the end, segmentation of no or absurd size, 0 or 65535 buffers.
        let headers: [testkit::net_device::Mangle; 3] = [
            |bytes, _| bytes[..12].fill(0xff),
            |bytes, _| bytes[..12].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0]),
            |bytes, _| bytes[..12].copy_from_slice(&[0x80, 4, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
        ];
        for header in headers {
            machine.device.borrow_mut().mangle = Some(header);
            machine.deliver(&test_frame(3, 600));
            let received = driver.receive().unwrap();
            assert_eq!(received.bytes(), test_frame(3, 600));
            driver.recycle(received);
        }
        still_works(&machine, &mut driver);
    });
}

#[test]
fn net_10_a_storm_of_link_changes_does_no_harm() {
    case!("NET-10", Work);
    in_every_combination(|machine, mut driver| {
        for turn in 0..1000_u32 {
            let up = turn.is_multiple_of(2);
            machine.virtio.registers().config[6] = up.into();
            machine.virtio.registers().generation = turn as u8;
            assert_eq!(driver.is_up(), up);
        }
        machine.virtio.registers().config[6] = 1;
        still_works(&machine, &mut driver);
    });
}

/// Flushes until the driver gives up, at most `times`.
fn flush_until_broken(driver: &mut Driver, times: u32) -> u32 {
    (0..times)
        .take_while(|_| {
            driver.flush();
            driver.failure().is_none()
        })
        .count() as u32
}

/// Shorter than the driver's own timeout, because the model's clock is slow.
const TIMEOUT: Duration = Duration::from_millis(2);
const STUCK: NetError = NetError::TransmitStuck { waited: TIMEOUT, held: 1 };

#[test]
fn net_12_a_frame_that_never_completes_breaks_the_device_in_time() {
    case!("NET-12", Break);
    in_every_combination(|machine, mut driver| {
        machine.device.borrow_mut().hold_tx = true;
        driver.set_timeout(TIMEOUT);
        assert!(send(&mut driver, &test_frame(1, 60)));
        driver.flush();
        machine.turn();
        let before = machine.model.now();
        flush_until_broken(&mut driver, 1_000_000);
        let waited = machine.model.now() - before;
        let timeout = ticks(&machine.model, TIMEOUT);
        assert!((timeout..timeout + timeout / 10).contains(&waited), "{waited}");
        assert_broken(&machine, &mut driver, STUCK);
    });
}

#[test]
fn a_host_that_holds_frames_back_for_fifty_seconds_is_waited_for() {
    let machine = Machine::new(SECURE);
    let mut driver = machine.start().unwrap();
    machine.device.borrow_mut().hold_tx = true;
    assert!(send(&mut driver, &test_frame(1, 60)));
    driver.flush();
    machine.turn();
    for _ in 0..50 {
        machine.model.skip(Duration::from_secs(1));
        driver.flush();
    }
    assert_eq!(driver.failure(), None);
    machine.device.borrow_mut().release_held();
    driver.flush();
    assert!(send(&mut driver, &test_frame(2, 60)));
    driver.flush();
    assert_eq!(driver.statistics().tx_frames, 1);
    // A frame that never completes still breaks the device.
    for _ in 0..70 {
        machine.model.skip(Duration::from_secs(1));
        driver.flush();
    }
    assert!(matches!(driver.failure(), Some(NetError::TransmitStuck { .. })));
}

#[test]
fn net_12_every_frame_has_its_own_timeout() {
    let machine = Machine::new(SECURE);
    let mut driver = machine.start().unwrap();
    machine.device.borrow_mut().hold_tx = true;
    driver.set_timeout(TIMEOUT);
    assert!(send(&mut driver, &test_frame(1, 60)));
    driver.flush();
    machine.turn();
    machine.device.borrow_mut().hold_tx = false;
    // Completions of later frames do not extend the first frame's time.
    for n in 0..1_000_000 {
        assert!(send(&mut driver, &test_frame(n, 60)));
        driver.flush();
        machine.turn();
        machine.wire.borrow_mut().to_peer.clear();
        if driver.failure().is_some() {
            break;
        }
    }
    assert!(matches!(driver.failure(), Some(NetError::TransmitStuck { .. })));
}

#[test]
fn net_12_ends_also_when_the_clock_stands_still() {
    case!("NET-12", Break);
    case!("IRQ-06", Work);
    let machine = Machine::with_config(SECURE, CardConfig { queues: [1, 1], ..CardConfig::default() });
    let mut driver = machine.start().unwrap();
    machine.device.borrow_mut().hold_tx = true;
    driver.set_timeout(TIMEOUT);
    assert!(send(&mut driver, &test_frame(1, 60)));
    machine.model.set_clock_runs(false);
    let flushes = flush_until_broken(&mut driver, 1_000_000_000);
    assert!(flushes > 50_000);
    assert_eq!(driver.failure(), Some(STUCK));
}

#[test]
fn net_12_slots_stay_in_quarantine_until_the_reset_is_confirmed() {
    case!("RNG-20", Quarantine);
    case!("LIF-06", Quarantine);
    for combination in Combination::ALL {
        let machine = Machine::new(combination);
        let mut driver = machine.start().unwrap();
        machine.device.borrow_mut().hold_tx = true;
        driver.set_timeout(TIMEOUT);
        assert!(send(&mut driver, &test_frame(1, 60)));
        driver.flush();
        machine.turn();
        machine.virtio.registers().faults.no_reset = true;
        flush_until_broken(&mut driver, 1_000_000);
        assert_eq!(driver.failure(), Some(STUCK));
        if let Some(pool) = machine.system.pool_statistics() {
            assert_eq!(pool.slots_in_use, 0);
            assert!(pool.bytes_quarantined > 128 * 1530, "{pool:?}");
        } else {
            assert_eq!(machine.model.pieces_allocated(), 2, "both rings");
        }
        // The device continues where its addresses still lead to memory. The driver does not read there.
        if combination.secure {
            machine.deliver(&test_frame(1, 1000));
            machine.assert_nothing_refused();
            assert!(driver.receive().is_none());
        }
        machine.virtio.registers().faults.no_reset = false;
        driver.shut_down();
        assert_eq!(driver.failure(), Some(STUCK));
        machine.assert_all_given_back();
    }
}

#[test]
fn net_13_a_flood_is_taken_as_far_as_there_are_buffers() {
    case!("NET-13", Work);
    in_every_combination(|machine, mut driver| {
        for n in 0..2000 {
            machine.wire.borrow_mut().to_stack.push_back(test_frame(n, 1514));
        }
        machine.turn();
        let frames: Vec<_> = core::iter::from_fn(|| driver.receive()).collect();
        assert_eq!(frames.len(), 128, "a buffer for each and no more");
        assert_eq!(machine.wire.borrow().to_stack.len(), 2000 - 128);
        for (n, frame) in frames.into_iter().enumerate() {
            assert_eq!(frame.bytes(), test_frame(n, 1514));
            driver.recycle(frame);
        }
        machine.wire.borrow_mut().to_stack.clear();
        still_works(&machine, &mut driver);
    });
}

#[test]
fn net_13_one_call_drops_at_most_64_frames() {
    case!("NET-13", Drop);
    let machine = Machine::new(SECURE);
    let mut driver = machine.start().unwrap();
    for _ in 0..100 {
        machine.wire.borrow_mut().to_stack.push_back(Vec::new());
    }
    machine.deliver(&test_frame(1, 60));
    assert!(driver.receive().is_none(), "one call handles 64 completions");
    assert_eq!(driver.statistics().rx_no_frame, 64);
    assert_eq!(driver.receive().unwrap().bytes(), test_frame(1, 60));
}

#[test]
fn net_14_a_frame_rewritten_after_completion_reaches_the_stack_unchanged() {
    case!("NET-14", Ignore);
    in_every_combination(|machine, mut driver| {
        driver.flush();
        machine.turn();
        let buffer = machine.device.borrow().buffers[0].buffers[0];
        let frame = test_frame(1, 200);
        machine.deliver(&frame);
        let received = driver.receive().unwrap();
        // The buffer that the driver had lent for this frame.
        let bus = machine.virtio.registers().queues[0].bus.clone();
        let _ = bus.write(buffer.bus, &[0xee; 212]);
        assert_eq!(received.bytes(), frame);
    });
}

#[test]
fn a_completion_without_a_request_breaks_the_device() {
    in_every_combination(|machine, mut driver| {
        machine.virtio.registers().queues[1].complete(3, 0);
        driver.flush();
        // Nothing was posted, so that any index is too far ahead.
        let violation = Violation::IndexJump { index: 1, last: 0, posted: 0 };
        assert_broken(&machine, &mut driver, NetError::Violation(Direction::Transmit, violation));
    });
}

#[test]
fn a_length_claimed_for_a_sent_frame_is_ignored() {
    case!("RNG-24", Ignore);
    in_every_combination(|machine, mut driver| {
        machine.device.borrow_mut().hold_tx = true;
        driver.set_timeout(TIMEOUT);
        assert!(send(&mut driver, &test_frame(1, 60)));
        driver.flush();
        machine.turn();
        let head = machine.device.borrow().held[0].head;
        machine.virtio.registers().queues[1].complete(head.into(), 1);
        driver.flush();
        assert_eq!((driver.failure(), driver.statistics().tx_frames), (None, 1));
    });
}

#[test]
fn a_device_that_wants_a_reset_or_is_gone_is_given_up() {
    case!("NEG-11", Break);
    case!("NEG-15", Break);
    in_every_combination(|machine, mut driver| {
        machine.virtio.registers().faults.status_bits = 0x40;
        assert!(!driver.is_up());
        assert_eq!(driver.failure(), Some(NetError::Transport(TransportError::NeedsReset)));
    });
    in_every_combination(|machine, mut driver| {
        machine.virtio.registers().faults.gone = true;
        assert!(!driver.is_up());
        assert_eq!(driver.failure(), Some(NetError::Transport(TransportError::Gone)));
    });
}

#[test]
fn the_stack_reports_why_its_device_was_given_up() {
    let machine = Machine::new(SECURE);
    let link = Attached { driver: machine.start().unwrap(), turn: Box::new(|| ()) };
    let mut stack = Stack::new(link, STATIC, Generator::new(&[1]), &machine.model).unwrap();
    stack.configure(&machine.model, SECOND).unwrap();
    machine.virtio.registers().queues[0].complete(0xffff_ffff, 0);
    let violation = Violation::IdOutOfRange { id: 0xffff_ffff, size: 128 };
    let gone = StackError::Link(NetError::Violation(Direction::Receive, violation));
    assert_eq!(stack.poll(&machine.model), Err(gone));
}

#[test]
fn noise_over_the_whole_pool_corrupts_payload_at_most() {
    for access_platform in [false, true] {
        for seed in 0..40 {
            let machine = Machine::new(Combination { secure: true, access_platform });
            let mut driver = machine.start().unwrap();
            let mut random = Random(seed);
            for n in 0..20 {
                if n == 10 {
                    let noise: Vec<u8> = (0..32 << 16).map(|_| random.next() as u8).collect();
                    machine.model.poke(POOL_BASE, &noise);
                }
                send(&mut driver, &test_frame(n, 60));
                driver.flush();
                // The model's device cannot follow rings of noise, so that it does nothing from here on.
                if n < 10 {
                    machine.turn();
                }
                while let Some(frame) = driver.receive() {
                    assert!(frame.len() <= 1518);
                    driver.recycle(frame);
                }
            }
            drop(driver);
            machine.assert_all_given_back();
        }
    }
}

#[test]
fn random_used_entries_end_in_a_named_violation_or_in_frames_that_fit() {
    let mut violations = 0;
    for seed in 0..300 {
        let machine = Machine::new(Combination::ALL[seed as usize % 4]);
        let mut driver = machine.start().unwrap();
        let mut random = Random(seed);
        for n in 0..40 {
            send(&mut driver, &test_frame(n, 60));
            driver.flush();
            random_completion(&mut machine.device.borrow_mut(), &mut random);
            while let Some(frame) = driver.receive() {
                assert!((14..=1518).contains(&frame.len()));
                driver.recycle(frame);
            }
        }
        match driver.failure() {
            None => {}
            Some(NetError::Violation(..)) => violations += 1,
            other => panic!("{other:?}"),
        }
        drop(driver);
        machine.assert_all_given_back();
    }
    assert!(violations > 50 && violations < 290, "{violations}");
}

/// One used entry that is mostly plausible.
fn random_completion(device: &mut NetDevice, random: &mut Random) {
    let mut registers = device.virtio.registers();
    if registers.status & 4 == 0 {
        return;
    }
    let queue = &mut registers.queues[usize::from(random.below(100) == 0)];
    let id = match random.below(8) {
        0 if random.below(8) == 0 => random.next() as u32,
        _ => random.below(128) as u32,
    };
    let written = match random.below(16) {
        0 if random.below(8) == 0 => random.next() as u32,
        _ => random.below(1530) as u32,
    };
    queue.complete(id, written);
}
