//! The stack's sockets by protocol, and which of them may have work. `smoltcp` visits every socket of a set for each
//! frame, and each time it computes a due time. So each protocol has its own set, which is skipped while nothing
//! arrived, changed or became due.

use super::ingress::Kind;
use smoltcp::iface::{Interface, PollResult, SocketSet};
use smoltcp::phy::Device;
use smoltcp::time::Instant;

/// Most frames sent for each socket in one [`Sockets::send`].
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
    /// A frame arrived for them, or a socket was changed.
    active: bool,
    due: Due,
}

/// When inactive sockets have work: a timer, or a frame that could not be sent.
#[derive(Clone, Copy)]
enum Due {
    /// Not computed yet.
    Unknown,
    /// At this time; `None`: never.
    At(Option<Instant>),
}

impl Group {
    fn new() -> Self {
        Self { set: SocketSet::new(alloc::vec::Vec::new()), active: true, due: Due::Unknown }
    }

    /// The sockets, mutable; the next step polls all of them.
    pub fn change(&mut self) -> &mut SocketSet<'static> {
        self.active = true;
        &mut self.set
    }

    /// Whether the sockets may have work.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// When the sockets have work; time 0 means now.
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
    /// No sockets.
    pub(super) fn new() -> Self {
        Self { udp: Group::new(), tcp: Group::new(), icmp: Group::new() }
    }

    fn all(&mut self) -> [&mut Group; 3] {
        [&mut self.udp, &mut self.tcp, &mut self.icmp]
    }

    /// Marks all sockets active, after a change that concerns all of them.
    pub(super) fn change_all(&mut self) {
        for group in self.all() {
            group.active = true;
        }
    }

    /// Marks the groups active that are due.
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
                // Every socket may have waited for this address.
                self.change_all();
                &mut self.icmp.set
            }
            Kind::EchoRequest | Kind::Other => self.icmp.change(),
        }
    }

    /// Sends the sockets' frames, one of each in turn, as far as the device accepts them. `left`: some UDP datagrams
    /// wait for the next step.
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

    /// When the first socket has work: time 0 means now, `None` never without a new frame.
    pub(super) fn due(&mut self, interface: &mut Interface, now: Instant) -> Option<Instant> {
        self.all().into_iter().filter_map(|group| group.due(interface, now)).min()
    }
}
