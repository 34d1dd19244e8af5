//! Stack, driver, rings, pool and device in one, against a host on the other side of the wire.

use netstack::random::Generator;
use netstack::settings::{Addressing, Settings};
use netstack::stack::Stack;
use std::boxed::Box;
use std::vec::Vec;
use testkit::model::Combination;
use testkit::net_device::{Attached, Machine};
use testkit::network::{Bench, SECOND};
use testkit::peer::{Offer, PEER_IP, Peer, STACK_IP};
use testkit::wire::TestClock;

fn bench(machine: &Machine) -> Bench<Attached> {
    let clock = TestClock::default();
    let peer = Peer::shared(&machine.wire, &clock);
    let turn = Box::new({
        let (peer, device) = (peer.clone(), machine.device.clone());
        move || {
            device.borrow_mut().turn();
            peer.borrow_mut().turn();
            device.borrow_mut().turn();
        }
    });
    let link = Attached { driver: machine.start().unwrap(), turn };
    let stack = Stack::new(link, Addressing::Dhcp, Generator::new(&[1]), &clock).unwrap();
    Bench { clock, wire: machine.wire.clone(), peer, stack }
}

#[test]
fn lease_ping_and_echo_work_in_all_four_combinations() {
    for combination in Combination::ALL {
        let machine = Machine::new(combination);
        let mut b = bench(&machine);
        b.peer.borrow_mut().offer = Some(Offer::default());
        let settings = b.stack.configure(&b.clock, SECOND * 5).unwrap();
        assert_eq!(settings, Settings { address: STACK_IP, prefix: 24, gateway: Some(PEER_IP) });
        b.stack.ping(&b.clock, PEER_IP, SECOND).unwrap();
        b.exchange_datagrams(&[0, 1, 700, 1472]);
        let connections: Vec<_> = (0..4).map(|i| b.peer.borrow_mut().connect(40000 + i)).collect();
        b.exchange(&connections, 30_000, 60);
        // Runs until the driver has its last frame back.
        b.until(1, |_| false);
        let counters = b.stack.counters();
        assert_eq!(counters.echo.tcp_bytes, 4 * 30_000);
        let driver = &b.stack.link().driver;
        let (frames, copied) = (driver.statistics(), driver.dma().counts());
        assert_eq!((frames.rx_frames, frames.tx_frames), (counters.frames.received, counters.frames.sent));
        assert_eq!(copied.from_pool > 4 * 30_000, combination.secure, "{combination:?}");
        machine.assert_nothing_refused();
        drop(b);
        machine.assert_all_given_back();
    }
}

#[test]
fn echo_survives_a_bad_wire_and_a_small_queue() {
    let config = testkit::net_device::CardConfig { queues: [4, 2], ..Default::default() };
    let machine = Machine::with_config(Combination { secure: true, access_platform: true }, config);
    let mut b = bench(&machine);
    b.peer.borrow_mut().offer = Some(Offer::default());
    b.stack.configure(&b.clock, SECOND * 5).unwrap();
    b.wire.borrow_mut().lose_one_in = 40;
    b.wire.borrow_mut().swap_one_in = 10;
    let connection = b.peer.borrow_mut().connect(40000);
    b.exchange(&[connection], 100_000, 600);
    assert!(b.wire.borrow().lost > 0);
    machine.assert_nothing_refused();
}
