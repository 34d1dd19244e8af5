//! The sockets of a TCP service.
//!
//! A half-open connection holds a socket for a short time, and if no socket is free the oldest half-open connection
//! makes room for the next peer. So a flood of half-open connections does not block the service (RFC 4987, section 3.2,
//! "Recycling the Oldest Half-Open TCB").

use super::isn::Ends;
use super::sockets::Group;
use alloc::vec::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::Duration;
use smoltcp::wire::IpEndpoint;

/// Timeout of a handshake: SYN-ACK is sent after 0, 1 and 3 seconds, then the connection is reset.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Keep-alive interval, and timeout, of a silent peer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const GIVE_UP: Duration = Duration::from_secs(30);

/// The port, the limits and the buffers of a TCP service.
#[derive(Clone, Copy, Debug)]
pub struct ListenerConfig {
    /// The port.
    pub port: u16,
    /// Most connections served at once; the next one is refused.
    pub most: usize,
    /// Additional sockets, so that handshakes have room while all but one connection are in use.
    pub spare: usize,
    /// Bytes of a socket's receive buffer.
    pub receive: usize,
    /// Bytes of a socket's send buffer.
    pub send: usize,
    /// Whether small segments wait for an acknowledgement (Nagle's algorithm).
    pub nagle: bool,
}

/// The sockets of one port.
pub struct Listeners {
    port: u16,
    most: usize,
    places: Vec<Place>,
    /// Number of connections that peers asked for.
    asked: u64,
    /// Half-open or closing connections that were aborted to make room for another.
    pub displaced: u64,
}

struct Place {
    handle: SocketHandle,
    /// The number of a half-open connection among those asked for.
    half_open: Option<u64>,
    /// The connection counts as served.
    served: bool,
}

impl Listeners {
    /// Opens the service.
    pub fn new(sockets: &mut Group, config: &ListenerConfig) -> Self {
        let place = |_| {
            let buffer = |bytes| tcp::SocketBuffer::new(alloc::vec![0; bytes]);
            let mut socket = tcp::Socket::new(buffer(config.receive), buffer(config.send));
            socket.set_keep_alive(Some(KEEP_ALIVE));
            socket.set_nagle_enabled(config.nagle);
            Place { handle: sockets.change().add(socket), half_open: None, served: false }
        };
        let places = (0..config.most.saturating_add(config.spare)).map(place).collect();
        let mut listeners = Self { port: config.port, most: config.most, places, asked: 0, displaced: 0 };
        listeners.listen(sockets.change());
        listeners
    }

    /// Closes the service.
    pub fn end(self, sockets: &mut Group) {
        for place in self.places {
            drop(sockets.change().remove(place.handle));
        }
    }

    /// Makes a socket listen for the connection whose SYN is about to be processed, unless `most` connections are
    /// served.
    pub fn make_room(&mut self, sockets: &mut SocketSet<'static>, asker: Ends) {
        if asker.local.port() != self.port {
            return;
        }
        self.asked = self.asked.wrapping_add(1);
        // Connections may have ended by a frame just before this one.
        self.listen(sockets);
        let mut oldest: Option<(u64, &Place)> = None;
        let mut closing = None;
        for place in &mut self.places {
            let socket = sockets.get::<tcp::Socket<'_>>(place.handle);
            match socket.state() {
                State::Listen => return,
                State::SynReceived => {
                    let number = *place.half_open.get_or_insert(self.asked);
                    if socket.remote_endpoint() == Some(IpEndpoint::from(asker.remote)) {
                        // A repeated SYN: the connection has its socket.
                        return;
                    }
                    if oldest.as_ref().is_none_or(|(least, _)| number < *least) {
                        oldest = Some((number, place));
                    }
                }
                // Only this side's FIN is not acknowledged: an abort loses no data.
                State::LastAck | State::Closing | State::TimeWait if socket.send_queue() == 0 => {
                    closing = Some(&*place);
                }
                _ => {}
            }
        }
        let place = closing.or(oldest.map(|(_, place)| place));
        let Some(handle) = place.map(|place| place.handle) else { return };
        self.displaced = self.displaced.wrapping_add(1);
        sockets.get_mut::<tcp::Socket<'_>>(handle).abort();
        self.listen(sockets);
    }

    /// Calls `work` for each socket, with its index, the socket, and whether its connection is new.
    pub fn step(
        &mut self,
        sockets: &mut SocketSet<'static>,
        mut work: impl FnMut(usize, &mut tcp::Socket<'static>, bool),
    ) {
        let mut served = self.served(sockets);
        for (index, place) in self.places.iter_mut().enumerate() {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(place.handle);
            let new = !place.served && socket.may_send();
            if new {
                if served >= self.most {
                    socket.abort();
                    continue;
                }
                served = served.saturating_add(1);
                place.served = true;
                socket.set_timeout(Some(GIVE_UP));
            }
            work(index, socket, new);
        }
    }

    /// Makes sockets whose connection is over listen for the next peer, while fewer than `most` connections are served.
    pub fn listen(&mut self, sockets: &mut SocketSet<'static>) {
        let full = self.served(sockets) >= self.most;
        for place in &mut self.places {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(place.handle);
            if !socket.is_open() {
                (place.half_open, place.served) = (None, false);
                if !full {
                    socket.set_timeout(Some(HANDSHAKE));
                    // `listen` cannot fail: the port is not 0 and the socket is closed.
                    let _ = socket.listen(self.port);
                }
            } else if full && socket.is_listening() {
                socket.close();
            }
        }
    }

    /// Aborts a served connection, so that its socket is free for another peer.
    pub fn abort(&mut self, sockets: &mut SocketSet<'static>, index: usize) {
        if let Some(place) = self.places.get(index) {
            sockets.get_mut::<tcp::Socket<'_>>(place.handle).abort();
            self.displaced = self.displaced.wrapping_add(1);
        }
    }

    /// Whether `most` connections are served.
    pub fn is_full(&self, sockets: &SocketSet<'static>) -> bool {
        self.served(sockets) >= self.most
    }

    /// Connections that are being served.
    fn served(&self, sockets: &SocketSet<'static>) -> usize {
        let is_open = |place: &&Place| sockets.get::<tcp::Socket<'_>>(place.handle).is_open();
        self.places.iter().filter(|place| place.served).filter(is_open).count()
    }
}
