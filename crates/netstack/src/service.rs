//! The trait of a service over the stack's sockets, which an image can add to the echo service
//! ([`crate::stack::Stack::offer`]).

pub use super::isn::Ends;
pub use super::listeners::{ListenerConfig, Listeners};
use super::settings::Settings;
pub use super::sockets::{Group, Sockets};
pub use super::udp_queue::UdpQueue;
use alloc::boxed::Box;
use core::any::Any;
use core::time::Duration;
use smoltcp::iface::SocketSet;

/// A service. Each method does a bounded amount of work and returns. `now` is the time since the stack was made.
pub trait Service: Any {
    /// Handles datagrams that have arrived. `own` is the current configuration. Returns true if some datagrams have to
    /// wait for the next step.
    fn step_udp(
        &mut self,
        _sockets: &mut SocketSet<'static>,
        _own: Option<Settings>,
        _now: Duration,
    ) -> bool {
        false
    }

    /// Receives and sends over the service's connections: see [`Listeners::step`].
    fn step_tcp(&mut self, sockets: &mut SocketSet<'static>, now: Duration);

    /// A peer asks for a connection: see [`Listeners::make_room`].
    fn make_room(&mut self, sockets: &mut SocketSet<'static>, ends: Ends, now: Duration);

    /// Connections may be over: see [`Listeners::listen`].
    fn listen(&mut self, sockets: &mut SocketSet<'static>);

    /// When [`Self::step_tcp`] has to run although no frame arrives: a timeout, or bytes that the owner added.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// Removes the service's sockets.
    fn close(self: Box<Self>, sockets: &mut Sockets);
}
