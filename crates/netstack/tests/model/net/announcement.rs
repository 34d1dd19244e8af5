//! Announcements of the address that the device asks for (VIRTIO_NET_S_ANNOUNCE), by the whole of stack and driver.

use netstack::random::Generator;
use netstack::stack::Stack;
use postern_cases::case;
use std::boxed::Box;
use std::vec::Vec;
use testkit::model::Combination;
use testkit::net_device::{ANNOUNCE, Answer, Attached, CardConfig, Machine, STATUS_AT, announcing};
use testkit::network::{SECOND, STATIC};
use testkit::peer::STACK_IP;
use testkit::wire::TestClock;

struct Rig {
    machine: Machine,
    clock: TestClock,
    stack: Stack<Attached>,
}

impl Rig {
    fn new(combination: Combination, config: CardConfig) -> Self {
        let machine = Machine::with_config(combination, config);
        let turn = Box::new({
            let device = machine.device.clone();
            move || {
                device.borrow_mut().turn();
                device.borrow_mut().obey();
            }
        });
        let link = Attached { driver: machine.start().unwrap(), turn };
        let clock = TestClock::default();
        let stack = Stack::new(link, STATIC, Generator::new(&[1]), &clock).unwrap();
        Self { machine, clock, stack }
    }

    fn ask(&self) {
        self.machine.virtio.registers().config[STATUS_AT] |= ANNOUNCE;
    }

    /// Polls for so many ms, ten times each.
    fn poll_for(&mut self, ms: u64) {
        for _ in 0..10 * ms {
            self.stack.poll(&self.clock).unwrap();
            self.clock.advance_us(100);
        }
    }

    /// The frames that the guest sent since the last call.
    fn sent(&self) -> Vec<Vec<u8>> {
        self.machine.wire.borrow_mut().to_peer.drain(..).collect()
    }
}

/// An ARP request from the guest, for its own address (RFC 5227, section 3).
fn announcement() -> Vec<u8> {
    let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    let mut frame = [[0xff; 6], mac].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac.into_iter().chain(STACK_IP.octets()));
    frame.extend([0; 6].into_iter().chain(STACK_IP.octets()));
    frame
}

#[test]
fn the_address_is_announced_once_for_each_time_that_the_device_asks() {
    for combination in Combination::ALL {
        let mut rig = Rig::new(combination, announcing());
        rig.stack.configure(&rig.clock, SECOND).unwrap();
        rig.poll_for(300);
        assert!(rig.sent().is_empty());
        for times in 1..4 {
            rig.ask();
            rig.poll_for(300);
            assert_eq!(rig.sent(), [announcement()], "{combination:?}");
            let counters = rig.stack.counters().frames;
            assert_eq!((counters.announced, counters.unsent), (times, 0));
        }
        assert_eq!(rig.machine.device.borrow().commands.len(), 3);
        assert_eq!(rig.stack.counters().link_changes, 1, "up");
        rig.machine.assert_nothing_refused();
    }
}

#[test]
fn without_an_address_the_device_is_told_and_nothing_is_announced() {
    for combination in Combination::ALL {
        let mut rig = Rig::new(combination, announcing());
        rig.ask();
        rig.poll_for(300);
        assert_eq!(rig.machine.device.borrow().commands.len(), 1);
        assert!(rig.sent().is_empty());
        assert_eq!(rig.stack.counters().frames.announced, 0);
    }
}

#[test]
fn an_announcement_without_room_is_made_when_there_is_room() {
    for combination in Combination::ALL {
        let mut rig = Rig::new(combination, CardConfig { queues: [4, 1], ..announcing() });
        rig.stack.configure(&rig.clock, SECOND).unwrap();
        rig.poll_for(150);
        rig.machine.device.borrow_mut().hold_tx = true;
        let driver = &mut rig.stack.link().driver;
        assert!(testkit::net_device::send(driver, &[0; 60]));
        rig.ask();
        rig.poll_for(300);
        assert!(rig.machine.device.borrow().commands.is_empty());
        rig.machine.device.borrow_mut().hold_tx = false;
        rig.machine.device.borrow_mut().release_held();
        rig.poll_for(300);
        assert_eq!(rig.sent(), [std::vec![0; 60], announcement()]);
        assert_eq!(rig.machine.device.borrow().commands.len(), 1);
    }
}

#[test]
fn net_21_a_device_that_asks_without_end_gets_ten_announcements_a_second() {
    case!("NET-21", Clamp);
    for combination in Combination::ALL {
        let mut rig = Rig::new(combination, announcing());
        // Each acknowledgement is refused, and the device goes on asking.
        rig.machine.device.borrow_mut().answer = Answer::Wrong { status: 1, written: 1 };
        rig.stack.configure(&rig.clock, SECOND).unwrap();
        rig.ask();
        rig.poll_for(2000);
        let sent = rig.sent().len();
        assert!((15..=21).contains(&sent), "{sent}");
    }
}
