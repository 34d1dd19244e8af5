//! A stack, a wire and a peer, for tests of the stack and of services over it.

use core::net::Ipv4Addr;
use core::time::Duration;
use netstack::random::Generator;
use netstack::settings::{Addressing, Settings};
use netstack::stack::Stack;
use papr::clock::Clock;
use smoltcp::iface::SocketHandle;
use smoltcp::wire::IpAddress;
use std::boxed::Box;
use std::vec::Vec;
use virtio_pci::net::link::Link;

use crate::frames::syn;
use crate::peer::{PEER_IP, Peer, STACK_IP, SharedPeer};
use crate::wire::{Random, SharedWire, TestClock, TestLink, Wire};

/// A host behind the gateway that sends nothing by itself.
pub const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const SECOND: Duration = Duration::from_secs(1);
pub const STATIC: Addressing =
    Addressing::Static(Settings { address: STACK_IP, prefix: 24, gateway: Some(PEER_IP) });

/// A stack, a wire and a peer.
pub struct Bench<L> {
    pub clock: TestClock,
    pub wire: SharedWire,
    pub peer: SharedPeer,
    pub stack: Stack<L>,
}

pub fn bench(addressing: Addressing) -> Bench<TestLink> {
    bench_with_mtu(addressing, 1500)
}

pub fn bench_with_mtu(addressing: Addressing, mtu: u16) -> Bench<TestLink> {
    let (clock, wire) = (TestClock::default(), Wire::shared());
    let peer = Peer::shared(&wire, &clock);
    let turn = Box::new({
        let peer = peer.clone();
        move || peer.borrow_mut().turn()
    });
    let link = TestLink { mtu, ..TestLink::new(&wire, turn) };
    let stack = Stack::new(link, addressing, Generator::new(&[1]), &clock).unwrap();
    Bench { clock, wire, peer, stack }
}

pub fn configured() -> Bench<TestLink> {
    configured_with_mtu(1500)
}

pub fn configured_with_mtu(mtu: u16) -> Bench<TestLink> {
    let mut b = bench_with_mtu(STATIC, mtu);
    b.stack.configure(&b.clock, SECOND).unwrap();
    b
}

impl<L: Link> Bench<L> {
    /// Polls every 100 us until `done` says so, at most `seconds` of the model's time.
    pub fn until(&mut self, seconds: u64, done: impl FnMut(&mut Peer) -> bool) -> bool {
        self.until_every(100, seconds, done)
    }

    pub fn until_every(&mut self, us: u64, seconds: u64, mut done: impl FnMut(&mut Peer) -> bool) -> bool {
        let end = self.clock.now() + seconds * self.clock.frequency();
        while self.clock.now() < end {
            self.stack.poll(&self.clock).unwrap();
            if done(&mut self.peer.borrow_mut()) {
                return true;
            }
            self.clock.advance_us(us);
        }
        false
    }
}

impl Bench<TestLink> {
    /// Connections to `port` are asked for from these ports of [`NOBODY`].
    pub fn ask(&mut self, port: u16, from: core::ops::Range<u16>) {
        for from in from {
            self.wire.borrow_mut().to_stack.push_back(syn((NOBODY, from), port));
            self.stack.poll(&self.clock).unwrap();
            self.clock.advance_us(2000);
        }
    }
}

/// The stack's echo service.
pub const SERVICE: (IpAddress, u16) = (IpAddress::Ipv4(STACK_IP), 7);

pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.next() as u8).collect()
}

impl<L: Link> Bench<L> {
    /// Sends one datagram of each size and compares what comes back.
    pub fn exchange_datagrams(&mut self, sizes: &[usize]) {
        let handle = self.peer.borrow_mut().udp(5000);
        for &size in sizes {
            let data = noise(size as u64, size);
            self.peer.borrow_mut().udp_socket(handle).send_slice(&data, SERVICE).unwrap();
            let back = self.until(2, |peer| match peer.udp_socket(handle).recv() {
                Ok((echo, from)) => {
                    assert_eq!(echo, data);
                    assert_eq!((from.endpoint.addr, from.endpoint.port), SERVICE);
                    true
                }
                Err(_) => false,
            });
            assert!(back, "{size}");
        }
    }

    /// Sends `len` bytes over each connection, closes the sending half, and compares what comes back.
    pub fn exchange(&mut self, connections: &[SocketHandle], len: usize, seconds: u64) {
        let data = noise(9, len);
        let mut sent = std::vec![0; connections.len()];
        let mut back: Vec<Vec<u8>> = std::vec![Vec::new(); connections.len()];
        let done = self.until(seconds, |peer| {
            let mut finished = true;
            for (i, &handle) in connections.iter().enumerate() {
                let socket = peer.tcp_socket(handle);
                if socket.can_send() {
                    sent[i] += socket.send_slice(&data[sent[i]..]).unwrap();
                    if sent[i] == len {
                        socket.close();
                    }
                }
                while socket.can_recv() {
                    let into = &mut back[i];
                    socket.recv(|bytes| (bytes.len(), into.extend_from_slice(bytes))).unwrap();
                }
                finished &= sent[i] == len && !socket.may_recv();
            }
            finished
        });
        assert!(done, "sent {sent:?}, got {:?}", back.iter().map(Vec::len).collect::<Vec<_>>());
        for got in &back {
            assert!(*got == data, "content differs; {} of {len} bytes", got.len());
        }
    }
}
