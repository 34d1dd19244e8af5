//! The network stack over a [`Link`]: one bounded step ([`Stack::poll`]). The loops around it that get an address, ping and
//! serve are in `waits.rs`.

use super::dhcp;
use super::echo::{Echo, EchoCounters};
use super::lease::Dhcp;
use super::link_state::LinkState;
use super::phy::{FrameCounters, Phy};
use super::ping::Pinger;
use super::service::Service;
pub use super::services::ServiceId;
use super::services::Services;
use super::settings::{Addressing, Settings, SettingsError};
use super::sockets::Sockets;
pub use super::stack_error::StackError;
use super::stack_time::StackTime;
use crate::random::Generator;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use papr::clock::Clock;
use papr::parts::low_u16;
use smoltcp::iface::{Config, Interface};
use smoltcp::socket::Socket;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint, Ipv4Cidr};
use virtio_pci::net::features::MIN_MTU;
use virtio_pci::net::link::Link;

mod exchange;
mod waits;

/// Most frames received in one [`Stack::poll`].
const FRAMES_PER_POLL: usize = 64;

/// Counters of the stack and the echo service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames between link and stack.
    pub frames: FrameCounters,
    /// The echo service.
    pub echo: EchoCounters,
    /// Times that the link came up or went down.
    pub link_changes: u64,
    /// Leases that were refused as unusable.
    pub leases_refused: u64,
}

/// A service within its stack: see [`Stack::service`].
#[derive(Debug)]
pub struct Offered<'a, S, L> {
    /// The service.
    pub service: &'a mut S,
    /// The link below the stack.
    pub link: &'a mut L,
    /// Counters of the stack.
    pub counters: Counters,
    /// Time of the last step, since the stack was made.
    pub now: Duration,
}

/// A host on an IPv4 network. Nothing here waits except where a deadline is given.
pub struct Stack<L> {
    phy: Phy<L>,
    interface: Interface,
    sockets: Sockets,
    addressing: Addressing,
    dhcp: Option<Dhcp>,
    random: Generator,
    echo: Echo,
    services: Services,
    pinger: Pinger,
    time: StackTime,
    link_state: LinkState,
}

impl<L: Link> Stack<L> {
    /// A stack over `link` without an address. `random` makes sequence numbers and identifiers.
    ///
    /// # Errors
    /// A link that no stack can work on, or a static configuration that cannot work.
    pub fn new(
        link: L,
        addressing: Addressing,
        mut random: Generator,
        clock: &impl Clock,
    ) -> Result<Self, StackError<L::Error>> {
        let (mac, mtu) = (link.mac(), link.mtu());
        if !mac.is_station() {
            return Err(StackError::Mac(mac));
        }
        if mtu < MIN_MTU {
            return Err(StackError::Mtu(mtu));
        }
        if let Addressing::Static(settings) = addressing {
            settings.check().map_err(StackError::Settings)?;
        }
        let mut phy = Phy::new(link, random.key());
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
        // Nothing on the wire depends on this seed: see `isn` and `dhcp`.
        config.random_seed = random.word();
        let mut time = StackTime::new(clock);
        let interface = Interface::new(config, &mut phy, time.instant(clock));
        let mut sockets = Sockets::new();
        let pinger = Pinger::new(low_u16(random.word()));
        Ok(Self {
            phy,
            interface,
            addressing,
            dhcp: None,
            random,
            echo: Echo::new(&mut sockets, mtu),
            services: Services::default(),
            pinger,
            sockets,
            time,
            link_state: LinkState::default(),
        })
    }

    /// The link below.
    pub fn link(&mut self) -> &mut L {
        &mut self.phy.link
    }

    /// The current configuration.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        self.phy.settings
    }

    /// The gateway, if the network has one.
    ///
    /// # Errors
    /// No address, or an unusable gateway from the DHCP server.
    pub fn gateway(&self) -> Result<Option<Ipv4Addr>, StackError<L::Error>> {
        let settings = self.phy.settings.ok_or(StackError::NotConfigured)?;
        match self.dhcp.as_ref().and_then(|dhcp| dhcp.client.bad_gateway()) {
            Some(gateway) => Err(StackError::Settings(SettingsError::Gateway(gateway))),
            None => Ok(settings.gateway),
        }
    }

    /// Whether the link was up at the last poll.
    #[must_use]
    pub fn link_up(&self) -> bool {
        self.link_state.up
    }

    /// Counters of the stack and the echo service.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            frames: self.phy.counters,
            echo: self.echo.counters,
            link_changes: self.link_state.changes,
            leases_refused: self.dhcp.as_ref().map_or(0, |dhcp| dhcp.client.refusals),
        }
    }

    /// One bounded step: processes received frames, runs the services, sends what is due.
    ///
    /// # Errors
    /// The link is gone.
    pub fn poll(&mut self, clock: &impl Clock) -> Result<(), StackError<L::Error>> {
        let now = self.time.instant(clock);
        self.link_state.poll(self.time.elapsed, || {
            let up = self.phy.link.is_up();
            self.phy.announce();
            up
        });
        self.phy.begin(FRAMES_PER_POLL, self.time.elapsed);
        self.forget_connections();
        self.interface.poll_maintenance(now);
        self.sockets.begin(&mut self.interface, now);
        if self.services.due().is_some_and(|due| due <= self.time.elapsed) {
            self.sockets.tcp.change();
        }
        while let Some(kind) = self.phy.next() {
            self.make_room();
            self.interface.poll_ingress_single(now, &mut self.phy, self.sockets.of(kind));
        }
        self.follow_dhcp();
        let left = self.serve_sockets();
        let connections = self.sockets.tcp.is_active();
        self.sockets.send(&mut self.interface, &mut self.phy, now, left);
        if connections {
            self.listen();
        }
        self.phy.link.flush();
        match self.phy.link.failure() {
            Some(error) => Err(StackError::Link(error)),
            None => Ok(()),
        }
    }

    /// Removes ended connections from the table of sequence numbers, before it is full.
    fn forget_connections(&mut self) {
        if !self.phy.numbers.is_half_full() {
            return;
        }
        let sockets = &self.sockets.tcp.set;
        self.phy.numbers.retain(|ends| {
            sockets.iter().any(|(_, socket)| {
                let Socket::Tcp(socket) = socket else { return false };
                let is = |end: Option<IpEndpoint>, expected: SocketAddrV4| {
                    end.is_some_and(|end| end == IpEndpoint::from(expected))
                };
                socket.is_open()
                    && is(socket.local_endpoint(), ends.local)
                    && is(socket.remote_endpoint(), ends.remote)
            })
        });
    }

    /// Runs the services; true if datagrams have to wait.
    fn serve_sockets(&mut self) -> bool {
        let mut left = false;
        let (own, now) = (self.phy.settings, self.time.elapsed);
        if self.sockets.udp.is_active() {
            let address = own.map(|own| own.address);
            left = self.echo.step_udp(&mut self.sockets.udp.set, address, now);
            left |= self.services.step_udp(&mut self.sockets.udp.set, own, now);
        }
        if self.sockets.tcp.is_active() {
            self.echo.step_tcp(&mut self.sockets.tcp.set);
            self.services.step_tcp(&mut self.sockets.tcp.set, now);
        }
        left
    }

    /// Makes sure that a new connection finds a listening socket.
    fn make_room(&mut self) {
        let Some(ends) = self.phy.asked.take() else { return };
        self.echo.make_room(&mut self.sockets.tcp.set, ends);
        self.services.make_room(&mut self.sockets.tcp.set, ends, self.time.elapsed);
    }

    /// Makes sockets of ended connections listen again.
    fn listen(&mut self) {
        self.echo.listen(&mut self.sockets.tcp.set);
        self.services.listen(&mut self.sockets.tcp.set);
    }

    /// Adds a service to the echo service. `open` makes its sockets.
    pub fn offer<S: Service>(&mut self, open: impl FnOnce(&mut Sockets) -> S) -> ServiceId<S> {
        self.services.add(open(&mut self.sockets))
    }

    /// A service that was added, with the link below the stack; `None` if another stack has it.
    pub fn service<S: Service>(&mut self, id: &ServiceId<S>) -> Option<Offered<'_, S, L>> {
        let (counters, now) = (self.counters(), self.time.elapsed);
        let service = self.services.get(id)?;
        Some(Offered { service, link: &mut self.phy.link, counters, now })
    }

    /// Closes a service that was added.
    pub fn close<S: Service>(&mut self, id: ServiceId<S>) {
        self.services.close(&id, &mut self.sockets);
    }

    /// Runs the DHCP client, and applies its leases.
    fn follow_dhcp(&mut self) {
        let Some(dhcp) = &mut self.dhcp else { return };
        for event in dhcp.step(&mut self.sockets.udp, self.phy.settings, self.time.elapsed) {
            match event {
                dhcp::Event::Leased(settings) if self.phy.settings == Some(settings) => {}
                dhcp::Event::Leased(settings) => self.apply(settings),
                dhcp::Event::Lost => self.withdraw(),
            }
        }
    }

    /// Makes `settings`, which have been checked, the interface's configuration.
    fn apply(&mut self, settings: Settings) {
        self.withdraw();
        let network = Ipv4Cidr::new(settings.address, settings.prefix);
        self.interface.update_ip_addrs(|addresses| {
            // There is room: the list is empty.
            let _ = addresses.push(IpCidr::Ipv4(network));
        });
        if let Some(gateway) = settings.gateway {
            // There is room: this is the only route.
            let _ = self.interface.routes_mut().add_default_ipv4_route(gateway);
        }
        self.phy.settings = Some(settings);
        self.sockets.change_all();
    }

    /// Leaves the interface without an address.
    fn withdraw(&mut self) {
        self.interface.update_ip_addrs(|addresses| addresses.clear());
        self.interface.routes_mut().remove_default_ipv4_route();
        self.phy.settings = None;
        self.sockets.change_all();
    }
}
