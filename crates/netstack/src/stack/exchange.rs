//! A TCP connection of our own (RFC 9293): bytes are sent, the direction is ended, and what comes back is kept.

use super::Stack;
use crate::stack_error::StackError;
use alloc::vec::Vec;
use core::net::SocketAddrV4;
use core::time::Duration;
use papr::clock::{Clock, Deadline};
use papr::parts::low_u16;
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::IpEndpoint;
use virtio_pci::net::link::Link;

/// Bytes that may wait to be sent, and to be taken.
const BUFFER: usize = 16 << 10;
/// The first of the ports for connections that are asked for (RFC 6335, section 6), and how many there are.
const FIRST_PORT: u16 = 49152;
const PORTS: u16 = 16384;

impl<L: Link> Stack<L> {
    /// Connects to `peer`, sends `bytes`, and returns what `peer` sends until it ends its direction: at most one byte
    /// more than it was sent.
    ///
    /// # Errors
    /// No address, no route, no connection, no end of it within `wait`, or the link is gone.
    pub fn exchange(
        &mut self,
        clock: &impl Clock,
        peer: SocketAddrV4,
        bytes: &[u8],
        wait: Duration,
    ) -> Result<Vec<u8>, StackError<L::Error>> {
        let host = *peer.ip();
        let settings = self.settings().ok_or(StackError::NotConfigured)?;
        if !settings.is_local(host) && settings.gateway.is_none() {
            return Err(StackError::NoRoute(host));
        }
        let port = FIRST_PORT.saturating_add(low_u16(self.random.word()).checked_rem(PORTS).unwrap_or(0));
        let buffer = || tcp::SocketBuffer::new(alloc::vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        // The socket is new and neither port is 0: nothing that `connect` would refuse.
        let _ = socket.connect(self.interface.context(), IpEndpoint::from(peer), port);
        let handle = self.sockets.tcp.change().add(socket);
        let mut deadline = Deadline::after(clock, wait);
        let (mut rest, mut came) = (bytes, Vec::new());
        let most = bytes.len().saturating_add(1);
        let result = loop {
            if let Err(error) = self.poll(clock) {
                break Err(error);
            }
            let socket = self.sockets.tcp.set.get_mut::<tcp::Socket<'_>>(handle);
            let changed = step(socket, &mut rest, &mut came, most);
            match socket.state() {
                // Only a reset leads here: two ends that were agreed on lead to the states below.
                State::Closed => break Err(StackError::NotConnected(peer)),
                State::TimeWait | State::Closing | State::LastAck => break Ok(came),
                _ if came.len() >= most => break Ok(came),
                _ => {}
            }
            if changed {
                self.sockets.tcp.change();
            }
            if self.rest(clock, &mut deadline) {
                break Err(StackError::NoAnswer { host, waited: wait, sent: rest.len() < bytes.len() });
            }
        };
        drop(self.sockets.tcp.change().remove(handle));
        result
    }
}

/// Sends and takes what it can. Whether it did anything.
fn step(socket: &mut tcp::Socket<'static>, rest: &mut &[u8], came: &mut Vec<u8>, most: usize) -> bool {
    let mut changed = false;
    if socket.may_send() {
        let sent = socket.send_slice(rest).unwrap_or(0);
        *rest = rest.get(sent..).unwrap_or(&[]);
        changed = sent > 0;
        if rest.is_empty() {
            socket.close();
            changed = true;
        }
    }
    while socket.can_recv() && came.len() < most {
        let take = |bytes: &mut [u8]| {
            let room = most.saturating_sub(came.len()).min(bytes.len());
            came.extend(bytes.iter().take(room));
            (room, ())
        };
        if socket.recv(take).is_err() {
            break;
        }
        changed = true;
    }
    changed
}
