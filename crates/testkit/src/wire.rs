//! Two frame queues between the stack under test and its peer, with loss and reordering on demand.

use papr::clock::Clock;
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;
use virtio_pci::net::link::{Frame, Link, MacAddr};

pub const FREQUENCY: u64 = 512_000_000;
/// Ticks of one microsecond.
pub const MICROSECOND: u64 = FREQUENCY / 1_000_000;

/// A clock that moves a little at each read, and more in a wait.
#[derive(Clone, Default)]
pub struct TestClock(Rc<Cell<u64>>);

impl TestClock {
    pub fn advance_us(&self, us: u64) {
        self.0.set(self.0.get() + us * MICROSECOND);
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.advance_us(1);
        self.0.get()
    }
    fn frequency(&self) -> u64 {
        FREQUENCY
    }
    fn relax(&self) {
        self.advance_us(200);
    }
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub struct Wire {
    pub to_stack: VecDeque<Vec<u8>>,
    pub to_peer: VecDeque<Vec<u8>>,
    /// One frame in so many is lost, if not 0.
    pub lose_one_in: u64,
    /// One frame in so many overtakes the one before it, if not 0.
    pub swap_one_in: u64,
    pub lost: u64,
    /// Every frame that was put on the wire towards the peer, if they are kept.
    pub seen: Option<Vec<Vec<u8>>>,
    random: Random,
}

pub type SharedWire = Rc<RefCell<Wire>>;

impl Wire {
    pub fn shared() -> SharedWire {
        Rc::new(RefCell::new(Self {
            to_stack: VecDeque::new(),
            to_peer: VecDeque::new(),
            lose_one_in: 0,
            swap_one_in: 0,
            lost: 0,
            seen: None,
            random: Random(7),
        }))
    }

    pub fn send(&mut self, to_peer: bool, frame: Vec<u8>) {
        if to_peer && let Some(seen) = &mut self.seen {
            seen.push(frame.clone());
        }
        if self.lose_one_in != 0 && self.random.below(self.lose_one_in) == 0 {
            self.lost += 1;
            return;
        }
        let swap = self.swap_one_in != 0 && self.random.below(self.swap_one_in) == 0;
        let queue = if to_peer { &mut self.to_peer } else { &mut self.to_stack };
        queue.push_back(frame);
        if swap && queue.len() >= 2 {
            let last = queue.len() - 1;
            queue.swap(last, last - 1);
        }
    }
}

/// Runs whenever the stack under test flushes its link: the peer, or the host side of a device.
pub type Turn = Box<dyn FnMut()>;

/// The stack's end: a link of private buffers that never fails unless told so.
pub struct TestLink {
    pub wire: SharedWire,
    pub turn: Turn,
    pub mac: MacAddr,
    pub mtu: u16,
    pub up: bool,
    /// Frames that may wait for a flush.
    pub room: usize,
    pub broken: Option<&'static str>,
    /// How long a wait for frames may sleep, if it may.
    pub cede_interval: Option<core::time::Duration>,
    pub staged: Vec<Frame>,
    pub recycled: u64,
}

impl TestLink {
    pub fn new(wire: &SharedWire, turn: Turn) -> Self {
        Self {
            wire: wire.clone(),
            turn,
            mac: MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
            mtu: 1500,
            up: true,
            room: 16,
            broken: None,
            cede_interval: None,
            staged: Vec::new(),
            recycled: 0,
        }
    }
}

impl Link for TestLink {
    type Error = &'static str;
    fn mac(&self) -> MacAddr {
        self.mac
    }
    fn mtu(&self) -> u16 {
        self.mtu
    }
    fn is_up(&mut self) -> bool {
        self.up
    }
    fn receive(&mut self) -> Option<Frame> {
        let bytes = self.wire.borrow_mut().to_stack.pop_front()?;
        let len = bytes.len();
        Frame::new(bytes, 0, len)
    }
    fn recycle(&mut self, _: Frame) {
        self.recycled += 1;
    }
    fn can_transmit(&mut self) -> bool {
        self.staged.len() < self.room
    }
    fn frame(&mut self, len: usize) -> Option<Frame> {
        if !self.can_transmit() || len > usize::from(self.mtu) + 14 {
            return None;
        }
        Frame::new(std::vec![0; len], 0, len)
    }
    fn transmit(&mut self, frame: Frame) {
        self.staged.push(frame);
    }
    fn arm(&mut self) -> Option<core::time::Duration> {
        self.cede_interval
    }
    fn flush(&mut self) {
        for frame in self.staged.drain(..) {
            self.wire.borrow_mut().send(true, frame.bytes().to_vec());
        }
        (self.turn)();
    }
    fn failure(&self) -> Option<&'static str> {
        self.broken
    }
}

/// The peer's end, as a plain `smoltcp` device without the stack's ingress rules.
pub struct PeerPort(pub SharedWire);

pub struct PeerRx(Vec<u8>);
pub struct PeerTx(SharedWire);

impl phy::RxToken for PeerRx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for PeerTx {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = std::vec![0; len];
        let result = f(&mut frame);
        self.0.borrow_mut().send(false, frame);
        result
    }
}

impl phy::Device for PeerPort {
    type RxToken<'a> = PeerRx;
    type TxToken<'a> = PeerTx;
    fn receive(&mut self, _: Instant) -> Option<(PeerRx, PeerTx)> {
        let frame = self.0.borrow_mut().to_peer.pop_front()?;
        Some((PeerRx(frame), PeerTx(self.0.clone())))
    }
    fn transmit(&mut self, _: Instant) -> Option<PeerTx> {
        // A wire of finite length: a sender waits while the receiver is behind.
        (self.0.borrow().to_stack.len() < 64).then(|| PeerTx(self.0.clone()))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}
