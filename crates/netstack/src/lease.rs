//! The DHCP client's socket: passes datagrams to the client, and sends the client's messages.

use super::dhcp::{self, Message};
use super::settings::Settings;
use super::sockets::Group;
use core::net::Ipv4Addr;
use core::time::Duration;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::IpAddress;

/// Most DHCP messages that may wait.
const DHCP_DATAGRAMS: usize = 4;

/// The DHCP client and its socket.
pub(super) struct Dhcp {
    socket: SocketHandle,
    pub client: dhcp::Client,
}

impl Dhcp {
    /// Opens the client's port.
    pub fn new(client: dhcp::Client, sockets: &mut Group) -> Self {
        Self { socket: sockets.change().add(dhcp_socket()), client }
    }

    /// Passes the datagrams that have arrived to the client, and sends the message that is due. Returns the events, in
    /// order.
    pub fn step(
        &mut self,
        sockets: &mut Group,
        own: Option<Settings>,
        now: Duration,
    ) -> impl Iterator<Item = dhcp::Event> + use<> {
        let socket = sockets.set.get_mut::<udp::Socket<'_>>(self.socket);
        let mut events = [None; DHCP_DATAGRAMS];
        for event in &mut events {
            let Ok((datagram, from)) = socket.recv() else { break };
            if from.endpoint.port == dhcp::SERVER_PORT {
                *event = self.client.take(datagram, now);
            }
        }
        let (message, event) = self.client.step(now);
        if let Some(Message { bytes, to }) = message {
            // Drops an older message that could not leave yet.
            socket.close();
            let _ = socket.bind(dhcp::CLIENT_PORT);
            let to = to.unwrap_or(Ipv4Addr::BROADCAST);
            let mut to = udp::UdpMetadata::from((IpAddress::Ipv4(to), dhcp::SERVER_PORT));
            let own = own.map_or(Ipv4Addr::UNSPECIFIED, |settings| settings.address);
            to.local_address = Some(IpAddress::Ipv4(own));
            // There is room: the queue is empty.
            let _ = socket.send_slice(&bytes, to);
            sockets.change();
        }
        events.into_iter().chain([event]).flatten()
    }
}

/// Room for a few datagrams each way; servers may send 576 bytes (RFC 2131, section 2).
fn dhcp_socket() -> udp::Socket<'static> {
    let datagrams = || {
        let records = alloc::vec![udp::PacketMetadata::EMPTY; DHCP_DATAGRAMS];
        udp::PacketBuffer::new(records, alloc::vec![0; DHCP_DATAGRAMS.saturating_mul(1500)])
    };
    let mut socket = udp::Socket::new(datagrams(), datagrams());
    // `bind` cannot fail: the port is not 0 and the socket is new.
    let _ = socket.bind(dhcp::CLIENT_PORT);
    socket
}
