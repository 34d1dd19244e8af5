//! The other host on the wire: a `smoltcp` interface with client sockets and a minimal DHCP server.

use super::wire::{MICROSECOND, PeerPort, SharedWire, TestClock};
use core::net::Ipv4Addr;
use papr::clock::Clock;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, HardwareAddress, IpAddress, IpCidr,
};
use std::boxed::Box;
use std::cell::RefCell;
use std::rc::Rc;
use std::vec::Vec;

/// The seed of its random numbers.
pub const SEED: u64 = 42;
pub const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
pub const STACK_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// What the DHCP server hands out.
#[derive(Clone, Copy)]
pub struct Offer {
    pub address: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub router: Option<Ipv4Addr>,
    pub lease_s: u32,
    /// Requests left unanswered at first.
    pub ignore: u32,
    /// Seconds after which a request is answered.
    pub slow_s: u64,
    /// Whether requests are refused: all, or those that renew.
    pub refuse: bool,
    pub refuse_renewals: bool,
    /// Whether requests are left without an answer.
    pub never_confirm: bool,
}

impl Default for Offer {
    fn default() -> Self {
        let mask = Ipv4Addr::new(255, 255, 255, 0);
        Self {
            address: STACK_IP,
            mask,
            router: Some(PEER_IP),
            lease_s: 86400,
            ignore: 0,
            slow_s: 0,
            refuse: false,
            refuse_renewals: false,
            never_confirm: false,
        }
    }
}

pub struct Peer {
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    port: PeerPort,
    clock: TestClock,
    dhcp: SocketHandle,
    pub offer: Option<Offer>,
    pub acks: u32,
    /// Answers that wait, and until when.
    slow: Vec<(u64, Vec<u8>)>,
    /// Changes each of the DHCP server's answers.
    pub rewrite: Option<Rewrite>,
}

pub type Rewrite = Box<dyn FnMut(&mut Vec<u8>)>;

pub type SharedPeer = Rc<RefCell<Peer>>;

fn datagrams() -> udp::PacketBuffer<'static> {
    udp::PacketBuffer::new(std::vec![udp::PacketMetadata::EMPTY; 256], std::vec![0; 1 << 19])
}

impl Peer {
    pub fn shared(wire: &SharedWire, clock: &TestClock) -> SharedPeer {
        let mut port = PeerPort(wire.clone());
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2])));
        config.random_seed = SEED;
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|a| a.push(IpCidr::new(IpAddress::Ipv4(PEER_IP), 24)).unwrap());
        let mut sockets = SocketSet::new(Vec::new());
        let mut server = udp::Socket::new(datagrams(), datagrams());
        server.bind(67).unwrap();
        let dhcp = sockets.add(server);
        let peer = Self {
            interface,
            sockets,
            port,
            clock: clock.clone(),
            dhcp,
            offer: None,
            acks: 0,
            slow: Vec::new(),
            rewrite: None,
        };
        Rc::new(RefCell::new(peer))
    }

    /// Lets the peer run.
    pub fn turn(&mut self) {
        let now = Instant::from_micros((self.clock.now() / MICROSECOND) as i64);
        self.interface.poll(now, &mut self.port, &mut self.sockets);
        self.serve_dhcp();
        self.interface.poll(now, &mut self.port, &mut self.sockets);
    }

    pub fn udp(&mut self, port: u16) -> SocketHandle {
        let mut socket = udp::Socket::new(datagrams(), datagrams());
        socket.bind(port).unwrap();
        self.sockets.add(socket)
    }

    pub fn udp_socket(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn connect(&mut self, from_port: u16) -> SocketHandle {
        self.connect_to(7, from_port)
    }

    pub fn connect_to(&mut self, port: u16, from_port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(std::vec![0; 65536]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_timeout(Some(Duration::from_secs(60)));
        socket.connect(self.interface.context(), (IpAddress::Ipv4(STACK_IP), port), from_port).unwrap();
        self.sockets.add(socket)
    }

    pub fn tcp_socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn icmp(&mut self, ident: u16) -> SocketHandle {
        let buffer =
            || icmp::PacketBuffer::new(std::vec![icmp::PacketMetadata::EMPTY; 8], std::vec![0; 16384]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(ident)).unwrap();
        self.sockets.add(socket)
    }

    fn serve_dhcp(&mut self) {
        let server = self.sockets.get_mut::<udp::Socket<'_>>(self.dhcp);
        while server.can_recv() {
            let request = server.recv().unwrap().0.to_vec();
            let Some(offer) = &mut self.offer else { continue };
            if offer.ignore > 0 {
                offer.ignore -= 1;
                continue;
            }
            let packet = DhcpPacket::new_checked(&request).unwrap();
            let request = DhcpRepr::parse(&packet).unwrap();
            let message_type = match request.message_type {
                DhcpMessageType::Discover => DhcpMessageType::Offer,
                DhcpMessageType::Request if offer.never_confirm => continue,
                DhcpMessageType::Request
                    if offer.refuse || offer.refuse_renewals && !request.client_ip.is_unspecified() =>
                {
                    DhcpMessageType::Nak
                }
                DhcpMessageType::Request => {
                    self.acks += 1;
                    DhcpMessageType::Ack
                }
                _ => continue,
            };
            let answer = DhcpRepr {
                message_type,
                your_ip: offer.address,
                server_ip: PEER_IP,
                server_identifier: Some(PEER_IP),
                subnet_mask: Some(offer.mask),
                router: offer.router,
                lease_duration: Some(offer.lease_s),
                client_identifier: None,
                parameter_request_list: None,
                max_size: None,
                requested_ip: None,
                ..request
            };
            let mut bytes = std::vec![0; answer.buffer_len()];
            answer.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).unwrap();
            if let Some(rewrite) = &mut self.rewrite {
                rewrite(&mut bytes);
            }
            self.slow.push((self.clock.now() + offer.slow_s * self.clock.frequency(), bytes));
        }
        let now = self.clock.now();
        for (_, bytes) in self.slow.extract_if(.., |(due, _)| *due <= now) {
            server.send_slice(&bytes, (IpAddress::v4(255, 255, 255, 255), 68)).unwrap();
        }
    }
}
