//! The stack's sockets by protocol, and which of them may have something to do. `smoltcp` visits each socket of a set
//! for each frame that comes or leaves and whenever it is asked when it is due: sockets of a protocol for which
//! nothing has come, changed or become due are in a set of their own, which is left alone.

use super::ingress::Kind;
use smoltcp::iface::{Interface, PollResult, SocketSet};
use smoltcp::phy::Device;
use smoltcp::time::Instant;

/// Frames sent for each socket, at most, in one [`Sockets::send`].
const ROUNDS: usize = 32;

/// All sockets of the stack.
pub struct Sockets {
    /// UDP.
    pub udp: Group,
    /// TCP.
    pub tcp: Group,
    /// ICMP.
    pub(super) icmp: Group,
}

/// The sockets of one protocol.
pub struct Group {
    pub(super) set: SocketSet<'static>,
    /// Something has come for them, or was changed.
    active: bool,
    due: Due,
}

/// When sockets without anything new have something to do: a timer, or what could not be sent so far.
#[derive(Clone, Copy)]
enum Due {
    /// To be found out.
    Unknown,
    /// Then, or never.
    At(Option<Instant>),
}

impl Group {
    fn new() -> Self {
        Self { set: SocketSet::new(alloc::vec::Vec::new()), active: true, due: Due::Unknown }
    }

    /// The sockets, to be changed; the next step polls all of them.
    pub fn change(&mut self) -> &mut SocketSet<'static> {
        self.active = true;
        &mut self.set
    }

    /// Whether there may be something to do for the sockets.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// When the sockets have something to do: long ago if now.
    fn due(&mut self, interface: &mut Interface, now: Instant) -> Option<Instant> {
        if self.active {
            return Some(Instant::ZERO);
        }
        if let Due::At(due) = self.due {
            return due;
        }
        let due = interface.poll_at(now, &self.set);
        self.due = Due::At(due);
        due
    }
}

impl Sockets {
    /// None.
    pub(super) fn new() -> Self {
        Self { udp: Group::new(), tcp: Group::new(), icmp: Group::new() }
    }

    fn all(&mut self) -> [&mut Group; 3] {
        [&mut self.udp, &mut self.tcp, &mut self.icmp]
    }

    /// Marks all sockets active: what they all depend on has changed.
    pub(super) fn change_all(&mut self) {
        for group in self.all() {
            group.active = true;
        }
    }

    /// Finds out which sockets are due.
    pub(super) fn begin(&mut self, interface: &mut Interface, now: Instant) {
        for group in self.all() {
            group.active = group.due(interface, now).is_some_and(|due| due <= now);
        }
    }

    /// The sockets that a frame is for.
    pub(super) fn of(&mut self, kind: Kind) -> &mut SocketSet<'static> {
        match kind {
            Kind::Tcp => self.tcp.change(),
            Kind::Udp => self.udp.change(),
            Kind::Arp => {
                // Whoever waits for an address has it now.
                self.change_all();
                &mut self.icmp.set
            }
            Kind::EchoRequest | Kind::Other => self.icmp.change(),
        }
    }

    /// Sends what sockets have to send, a frame of each in turn, as far as the device takes it. `left` says of UDP
    /// that more was there to be done than could be.
    pub(super) fn send(
        &mut self,
        interface: &mut Interface,
        device: &mut impl Device,
        now: Instant,
        left: bool,
    ) {
        let mut sending = self.all().map(|group| group.active);
        for _ in 0..ROUNDS {
            for (group, sending) in self.all().into_iter().zip(&mut sending) {
                *sending = *sending && interface.poll_egress(now, device, &mut group.set) != PollResult::None;
            }
            if sending == [false; 3] {
                break;
            }
        }
        for group in self.all() {
            if group.active {
                (group.active, group.due) = (false, Due::Unknown);
            }
        }
        self.udp.active = left;
    }

    /// When the first socket has something to do: long ago if now, `None` if never by itself.
    pub(super) fn due(&mut self, interface: &mut Interface, now: Instant) -> Option<Instant> {
        self.all().into_iter().filter_map(|group| group.due(interface, now)).min()
    }
}
