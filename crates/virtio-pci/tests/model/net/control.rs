//! The control queue: announcements are acknowledged, and an answer that is none breaks the card by name.

use core::time::Duration;
use papr::clock::{Clock, ticks};
use postern_cases::case;
use std::vec;
use std::vec::Vec;
use testkit::model::Combination;
use testkit::net_device::{
    ANNOUNCE, Answer, CONTROL, CardConfig, Driver, Machine, SECURE, STATUS_AT, announcing, everything, send,
    test_frame,
};
use virtio_pci::net::error::{ControlError, NetError};
use virtio_pci::net::features::{ANNOUNCING, CTRL_VQ, GUEST_ANNOUNCE, MAC, STATUS};
use virtio_pci::net::link::Link;
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::features::Features;
use virtio_pci::virtio::violation::Violation;

const TIMEOUT: Duration = Duration::from_millis(2);

/// The device asks for an announcement.
fn ask(machine: &Machine) {
    machine.virtio.registers().config[STATUS_AT] |= ANNOUNCE;
}

/// What a stack does when it looks at the link: true if it would announce.
fn look(driver: &mut Driver) -> bool {
    driver.is_up();
    let wanted = driver.wants_announcement();
    if wanted {
        driver.announced();
    }
    wanted
}

/// A started driver whose device asks for an announcement and answers like this, in each combination.
fn asked(answer: Answer, check: impl Fn(Machine, Driver)) {
    for combination in Combination::ALL {
        let machine = Machine::with_config(combination, announcing());
        machine.device.borrow_mut().answer = answer;
        let mut driver = machine.start().unwrap();
        driver.set_timeout(TIMEOUT);
        ask(&machine);
        assert!(look(&mut driver));
        machine.device.borrow_mut().obey();
        check(machine, driver);
    }
}

/// The card is broken for this reason at its next look at the link, and nothing of it is left.
fn breaks(answer: Answer, why: ControlError) {
    asked(answer, |machine, mut driver| {
        assert!(!driver.is_up());
        assert_eq!(driver.failure(), Some(NetError::Control(why)));
        assert!(!driver.wants_announcement());
        driver.announced();
        assert_eq!(driver.failure(), Some(NetError::Control(why)));
        assert_eq!(machine.virtio.registers().status, 0, "reset");
        machine.assert_nothing_refused();
        drop(driver);
        machine.assert_all_given_back();
    });
}

#[test]
fn an_announcement_is_wanted_once_for_each_time_that_the_device_asks() {
    for config in [announcing(), everything()] {
        for combination in Combination::ALL {
            let machine = Machine::with_config(combination, config);
            let mut driver = machine.start().unwrap();
            assert!(!look(&mut driver));
            for round in 1..=300 {
                ask(&machine);
                assert!(look(&mut driver));
                machine.device.borrow_mut().obey();
                assert!(!look(&mut driver), "acknowledged");
                assert_eq!(machine.device.borrow().commands.len(), round);
            }
            assert_eq!(machine.device.borrow().commands, vec![vec![3, 0]; 300]);
            assert_eq!((driver.failure(), driver.statistics().refused_commands), (None, 0));
            assert!(driver.is_up());
            machine.assert_nothing_refused();
            drop(driver);
            machine.assert_all_given_back();
        }
    }
}

#[test]
fn net_21_nothing_is_announced_again_before_the_device_answers() {
    case!("NET-21", Clamp);
    asked(Answer::Silence, |machine, mut driver| {
        driver.set_timeout(Duration::from_secs(1));
        for _ in 0..100 {
            assert!(!look(&mut driver), "the device still asks, and owes an answer");
        }
        assert_eq!(machine.device.borrow().commands.len(), 1);
        assert_eq!(driver.failure(), None);
    });
}

#[test]
fn net_20_an_answer_that_is_none_breaks_the_device() {
    case!("NET-20", Break);
    for status in [2, 0x80, 0xff] {
        breaks(Answer::Wrong { status, written: 1 }, ControlError::Status(status));
    }
    let short = Violation::TooShort { id: 0, written: 0, needed: 1 };
    breaks(Answer::Wrong { status: 0, written: 0 }, ControlError::Violation(short));
    let long = Violation::TooLong { id: 0, written: 2, allowed: 1 };
    breaks(Answer::Wrong { status: 0, written: 2 }, ControlError::Violation(long));
    let whole = Violation::TooLong { id: 0, written: u32::MAX, allowed: 1 };
    breaks(Answer::Wrong { status: 0, written: u32::MAX }, ControlError::Violation(whole));
    breaks(Answer::OtherChain, ControlError::Violation(Violation::NotHead { id: 1 }));
}

#[test]
fn net_20_an_answer_that_nobody_asked_for_breaks_the_device() {
    case!("NET-20", Break);
    for combination in Combination::ALL {
        let machine = Machine::with_config(combination, announcing());
        let mut driver = machine.start().unwrap();
        machine.virtio.registers().queues[CONTROL].complete(0, 1);
        assert!(!driver.is_up());
        let lie = Violation::IndexJump { index: 1, last: 0, posted: 0 };
        assert_eq!(driver.failure(), Some(NetError::Control(ControlError::Violation(lie))));
    }
}

#[test]
fn net_20_a_command_that_is_never_answered_breaks_the_device_in_time() {
    case!("NET-20", Break);
    asked(Answer::Silence, |machine, mut driver| {
        machine.virtio.registers().notified.clear();
        let before = machine.model.now();
        let looks = (0..1_000_000).take_while(|_| driver.is_up()).count();
        let waited = machine.model.now() - before;
        let timeout = ticks(&machine.model, TIMEOUT);
        assert!((timeout / 2..timeout + timeout / 10).contains(&waited), "{waited}");
        assert_eq!(driver.failure(), Some(NetError::Control(ControlError::Stuck(TIMEOUT))));
        // It was reminded at each look, and of this queue alone.
        assert_eq!(machine.virtio.registers().notified, vec![CONTROL as u16; looks]);
        machine.assert_all_given_back();
    });
}

#[test]
fn a_command_that_the_device_refuses_is_counted_and_asked_for_again() {
    case!("NET-20", Work);
    asked(Answer::Wrong { status: 1, written: 1 }, |machine, mut driver| {
        assert!(look(&mut driver), "the device still asks");
        assert_eq!((driver.failure(), driver.statistics().refused_commands), (None, 1));
        machine.device.borrow_mut().answer = Answer::Honest;
        machine.device.borrow_mut().obey();
        assert!(!look(&mut driver));
        assert_eq!((driver.failure(), driver.statistics().refused_commands), (None, 1));
    });
}

#[test]
fn features_that_need_one_another_are_accepted_together_or_not_at_all() {
    let parts = [CTRL_VQ, GUEST_ANNOUNCE, STATUS];
    for left in 0..8_usize {
        let chosen = parts.iter().enumerate().filter(|(bit, _)| left & 1 << bit != 0);
        let features = chosen.fold(MAC, |all, (_, one)| all | *one);
        let machine = Machine::with_config(SECURE, CardConfig { features, ..announcing() });
        let mut driver = machine.start().unwrap();
        let accepted = if features.contains(ANNOUNCING) { features } else { features & (MAC | STATUS) };
        assert_eq!(driver.features(), accepted | Features::VERSION_1 | Features::ACCESS_PLATFORM);
        // A device that asks all the same is not answered.
        ask(&machine);
        assert_eq!(look(&mut driver), accepted == MAC | ANNOUNCING);
        assert_eq!(driver.failure(), None);
    }
}

#[test]
fn a_device_that_claims_a_control_queue_and_has_none_is_refused_and_keeps_nothing() {
    for combination in Combination::ALL {
        let machine = Machine::with_config(combination, CardConfig { control: 0, ..announcing() });
        assert_eq!(machine.start().err(), Some(NetError::Transport(TransportError::NoQueue(2))));
        machine.assert_all_given_back();
    }
}

#[test]
fn the_control_queue_is_number_two_however_many_pairs_the_device_offers() {
    // VIRTIO_NET_F_MQ and VIRTIO_NET_F_RSS, which are not accepted.
    let features = announcing().features | Features::from_bits_retain(1 << 22 | 1 << 60);
    let machine = Machine::with_config(SECURE, CardConfig { features, ..announcing() });
    let mut driver = machine.start().unwrap();
    let enabled: Vec<_> = machine.virtio.registers().queues.iter().map(|queue| queue.enable).collect();
    assert_eq!(enabled, [1, 1, 1]);
    assert_eq!(driver.features() & Features::from_bits_retain(1 << 22 | 1 << 60), Features::empty());
    ask(&machine);
    assert!(look(&mut driver));
    machine.device.borrow_mut().obey();
    assert!(!look(&mut driver));
}

#[test]
fn without_a_confirmed_reset_the_commands_memory_is_kept_from_use() {
    case!("RNG-20", Quarantine);
    asked(Answer::Silence, |machine, mut driver| {
        let pieces = machine.model.pieces_allocated();
        machine.virtio.registers().faults.no_reset = true;
        driver.shut_down();
        assert_eq!(machine.model.pieces_allocated(), pieces);
        if let Some(pool) = machine.system.pool_statistics() {
            // Buffers of the receive queue, two rings of 128, one of 2 and the command.
            assert_eq!(pool.bytes_quarantined, 128 * 2048 + 2 * 4096 + 2 * 512, "{pool:?}");
        }
        machine.virtio.registers().faults.no_reset = false;
        driver.shut_down();
        machine.assert_all_given_back();
        // The device begins anew, and so do announcements.
        driver.restart(1).unwrap();
        machine.device.borrow_mut().answer = Answer::Honest;
        ask(&machine);
        assert!(look(&mut driver));
        machine.device.borrow_mut().obey();
        assert!(!look(&mut driver));
    });
}

#[test]
fn packets_do_not_notice_the_control_queue() {
    asked(Answer::Silence, |machine, mut driver| {
        machine.virtio.registers().notified.clear();
        for n in 0..50 {
            assert!(send(&mut driver, &test_frame(n, 100)));
            driver.flush();
            machine.deliver(&test_frame(n, 100));
            let received = driver.receive().unwrap();
            driver.recycle(received);
        }
        driver.flush();
        assert!(!machine.virtio.registers().notified.contains(&(CONTROL as u16)));
        assert_eq!(driver.failure(), None);
    });
}
