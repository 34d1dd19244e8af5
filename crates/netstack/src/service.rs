//! The trait of a service over the stack's sockets, which an image can add to the echo service
//! ([`crate::stack::Stack::offer`]).

pub use super::isn::Ends;
pub use super::listeners::{ListenerConfig, Listeners};
use super::settings::Settings;
pub use super::sockets::{Group, Sockets};
pub use super::udp_queue::UdpQueue;
use alloc::boxed::Box;
use core::time::Duration;
use smoltcp::iface::SocketSet;

/// A service. Each method does a bounded amount of work and returns.
pub trait Service {
    /// Handles datagrams that have arrived. `own` is the current configuration, `now` the time since the stack was
    /// made. Returns true if some datagrams have to wait for the next step.
    fn step_udp(
        &mut self,
        _sockets: &mut SocketSet<'static>,
        _own: Option<Settings>,
        _now: Duration,
    ) -> bool {
        false
    }

    /// Receives and sends over the service's connections: see [`Listeners::step`].
    fn step_tcp(&mut self, sockets: &mut SocketSet<'static>);

    /// A peer asks for a connection: see [`Listeners::make_room`].
    fn make_room(&mut self, sockets: &mut SocketSet<'static>, asker: Ends);

    /// Connections may be over: see [`Listeners::listen`].
    fn listen(&mut self, sockets: &mut SocketSet<'static>);

    /// Removes the service's sockets.
    fn close(self: Box<Self>, sockets: &mut Sockets);
}
