//! A network stack at the other end of a vhost-user card's cable: exchanges UDP and TCP echo and checks every byte.

use crate::pattern;
use postern_adversary::cable::Cable;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as StackTime;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint, Ipv4Address};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Our address.
pub const US: Ipv4Address = Ipv4Address::new(192, 0, 2, 1);
/// The guest's.
pub const GUEST: Ipv4Address = Ipv4Address::new(192, 0, 2, 2);
/// The words of the guest's command line for these addresses.
pub const WORDS: &str = "ip=192.0.2.2/24 gw=192.0.2.1";

const ECHO_PORT: u16 = 7;
const DATAGRAMS: [usize; 7] = [1, 18, 63, 511, 1024, 1471, 1472];
const ATTEMPTS: usize = 8;
const POKES: u64 = 25;
const TIMEOUT: Duration = Duration::from_secs(1);
const TCP_TIMEOUT: Duration = Duration::from_secs(40);
const LONGEST: usize = 1514;

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CablePeerError {
    /// No answer to a datagram of this many bytes.
    Lost(usize),
    /// A datagram or stream that differs.
    Wrong(&'static str),
    /// The TCP echo ended, or made no progress, after this many bytes.
    Short(usize),
}

impl fmt::Display for CablePeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(bytes) => write!(f, "cable peer: no echo of a UDP datagram of {bytes} bytes"),
            Self::Wrong(protocol) => write!(f, "cable peer: the {protocol} echo differs"),
            Self::Short(bytes) => write!(f, "cable peer: the TCP echo ended after {bytes} bytes"),
        }
    }
}

/// Our end of the cable as the stack sees it.
#[derive(Debug)]
struct Port {
    cable: Arc<Cable>,
    pending: Option<Vec<u8>>,
}

impl phy::Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: StackTime) -> Option<(Received, Sending<'_>)> {
        let frame = self.pending.take().or_else(|| self.cable.receive(Duration::ZERO))?;
        Some((Received(frame), Sending(&self.cable)))
    }

    fn transmit(&mut self, _: StackTime) -> Option<Sending<'_>> {
        Some(Sending(&self.cable))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST;
        capabilities
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Sending<'a>(&'a Cable);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.send(frame);
        result
    }
}

/// The host.
pub struct CablePeer {
    port: Port,
    interface: Interface,
    sockets: SocketSet<'static>,
    started: Instant,
}

fn datagrams() -> udp::PacketBuffer<'static> {
    udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 1 << 15])
}

/// The datagrams of [`CablePeer::udp`].
pub fn udp_datagrams(seed: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..).zip(DATAGRAMS).map(move |(round, length)| {
        let mut sent = vec![0; length];
        pattern::fill(pattern::splitmix64(seed ^ round), &mut sent);
        sent
    })
}

impl CablePeer {
    /// A host at this end of a cable.
    #[must_use]
    pub fn new(cable: Arc<Cable>) -> Self {
        let mut port = Port { cable, pending: None };
        let address = EthernetAddress([0x52, 0x54, 0, 0xee, 0, 2]);
        let mut interface =
            Interface::new(Config::new(HardwareAddress::Ethernet(address)), &mut port, StackTime::ZERO);
        interface.update_ip_addrs(|list| {
            // The list has room for its first entry.
            let _ = list.push(IpCidr::new(US.into(), 24));
        });
        Self { port, interface, sockets: SocketSet::new(Vec::new()), started: Instant::now() }
    }

    /// Runs the stack, and sleeps until a frame comes if there was nothing to do.
    fn turn(&mut self) {
        let now = StackTime::from_micros(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(0));
        self.interface.poll(now, &mut self.port, &mut self.sockets);
        if self.port.pending.is_none() {
            self.port.pending = self.port.cable.receive(Duration::from_millis(2));
        }
    }

    /// Datagrams of many sizes, each sent until it comes back.
    ///
    /// # Errors
    /// The first that does not come back as it was sent.
    pub fn udp(&mut self, seed: u64) -> Result<(), CablePeerError> {
        let mut socket = udp::Socket::new(datagrams(), datagrams());
        // Binding a port other than 0 does not fail.
        let _ = socket.bind(5007);
        let handle = self.sockets.add(socket);
        let result = udp_datagrams(seed).try_for_each(|sent| self.datagram(handle, &sent));
        self.sockets.remove(handle);
        result
    }

    /// Sends datagrams to a card that may be broken or may break; the answers are not checked.
    pub fn poke(&mut self, seed: u64) {
        let mut socket = udp::Socket::new(datagrams(), datagrams());
        let _ = socket.bind(5008);
        let handle = self.sockets.add(socket);
        for round in 0..POKES {
            let mut sent = [0; 64];
            pattern::fill(seed ^ round, &mut sent);
            let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle);
            let _ = socket.send_slice(&sent, IpEndpoint::new(GUEST.into(), ECHO_PORT));
            let deadline = Instant::now() + Duration::from_millis(60);
            while Instant::now() < deadline {
                self.turn();
            }
        }
        self.sockets.remove(handle);
    }

    fn datagram(&mut self, handle: SocketHandle, sent: &[u8]) -> Result<(), CablePeerError> {
        let guest = IpEndpoint::new(GUEST.into(), ECHO_PORT);
        for _ in 0..ATTEMPTS {
            let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle);
            // A full buffer is sent in the following turns.
            let _ = socket.send_slice(sent, guest);
            let deadline = Instant::now() + TIMEOUT;
            while Instant::now() < deadline {
                self.turn();
                let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle);
                while let Ok((answer, _)) = socket.recv() {
                    if answer == sent {
                        return Ok(());
                    }
                    // A late echo of an earlier attempt has another length.
                    if answer.len() == sent.len() {
                        return Err(CablePeerError::Wrong("UDP"));
                    }
                }
            }
        }
        Err(CablePeerError::Lost(sent.len()))
    }

    /// A stream in both directions, then a close from our side.
    ///
    /// # Errors
    /// The first byte that is not the one sent, or a connection that fails or stops.
    pub fn tcp(&mut self, seed: u64, bytes: usize) -> Result<(), CablePeerError> {
        let buffer = || tcp::SocketBuffer::new(vec![0; 1 << 15]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        let local = 40_000 + u16::try_from(seed % 20_000).unwrap_or(0);
        let opened = socket.connect(self.interface.context(), (GUEST, ECHO_PORT), local);
        let result = match opened {
            Ok(()) => self.stream(handle, seed, bytes),
            Err(_) => Err(CablePeerError::Short(0)),
        };
        self.sockets.remove(handle);
        result
    }

    fn stream(&mut self, handle: SocketHandle, seed: u64, bytes: usize) -> Result<(), CablePeerError> {
        let mut data = vec![0; bytes];
        pattern::fill(seed, &mut data);
        let (mut sent, mut got) = (0, 0);
        let deadline = Instant::now() + TCP_TIMEOUT;
        while Instant::now() < deadline {
            self.turn();
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
            if socket.can_send() && sent < bytes {
                sent += socket.send_slice(&data[sent..]).unwrap_or(0);
                if sent == bytes {
                    socket.close();
                }
            }
            // The buffer is a ring: the data may be in two pieces.
            while socket.can_recv() {
                let expected = &data[got..];
                let checked = socket.recv(|answer| {
                    let right = expected.get(..answer.len()) == Some(&*answer);
                    (answer.len(), right.then_some(answer.len()))
                });
                match checked {
                    Ok(Some(n)) => got += n,
                    Ok(None) => return Err(CablePeerError::Wrong("TCP")),
                    Err(_) => break,
                }
            }
            let open = socket.is_open();
            if got == bytes && !socket.may_recv() {
                // Our last acknowledgement still has to leave.
                self.turn();
                return Ok(());
            }
            if !open {
                break;
            }
        }
        Err(CablePeerError::Short(got))
    }

    /// Datagrams and a stream.
    ///
    /// # Errors
    /// The first failure.
    pub fn echo(&mut self, seed: u64) -> Result<(), CablePeerError> {
        self.udp(seed)?;
        self.tcp(seed, 100_000)
    }
}
