//! A DHCP client (RFC 2131): the protocol's decisions. The stack has the socket, the address and the routes.
//!
//! Servers do not set the pace of requests: the client repeats a request with the same id after an interval that
//! doubles, and after a refusal it waits for an interval that doubles, too (4.1, 4.4.1).

use super::dhcp_options;
use super::settings::{Settings, SettingsError};
use crate::random::Generator;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use papr::parts::{low_u8, low_u32};
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress};
use thiserror::Error;
use virtio_pci::net::link::MacAddr;

/// Ports of clients and servers.
pub(super) const CLIENT_PORT: u16 = 68;
pub(super) const SERVER_PORT: u16 = 67;
/// The first and the longest interval between repeated requests.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(64);
/// Most requests for one offer.
const REQUESTS: u32 = 4;
/// Shortest lease in seconds: a shorter one would be renewed all the time.
const SHORTEST_LEASE: u32 = 10;
/// Shortest time between two attempts to renew (4.4.5).
const RENEWALS: Duration = Duration::from_secs(60);
/// The options that are requested: subnet mask and router.
const WANTED: [u8; 2] = [1, 3];

/// Why a server's answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LeaseError {
    /// An invalid address.
    #[error("{0}")]
    Settings(SettingsError),
    /// No subnet mask.
    #[error("the server gives no subnet mask")]
    NoMask,
    /// A subnet mask whose ones are not all in front.
    #[error("the server gives the subnet mask {0}")]
    Mask(Ipv4Addr),
    /// The answer does not say which server it is from.
    #[error("the server does not name itself")]
    NoServer,
    /// An answer with the request's id that is no DHCP message.
    #[error("the server's answer is malformed")]
    Malformed,
    /// A lease of so few seconds.
    #[error("the server gives a lease of {0} s")]
    Short(u32),
    /// The server took its offer, or the lease, back (DHCPNAK).
    #[error("the server refuses the lease")]
    Refused,
}

/// A message to be sent.
pub(super) struct Message {
    pub bytes: Vec<u8>,
    /// The server; `None`: broadcast.
    pub to: Option<Ipv4Addr>,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// There is a lease.
    Leased(Settings),
    /// The lease is over.
    Lost,
}

/// An answer that may become a lease.
#[derive(Clone, Copy)]
struct Lease {
    settings: Settings,
    /// An unusable gateway that the server named.
    bad_gateway: Option<Ipv4Addr>,
    server: Ipv4Addr,
    renew: Duration,
    rebind: Duration,
    end: Duration,
}

#[derive(Clone, Copy)]
enum State {
    /// There is no offer.
    Selecting,
    /// The offer of this address by this server was requested.
    Requesting { address: Ipv4Addr, server: Ipv4Addr },
    /// There is a lease, to be renewed in time.
    Bound(Lease),
}

/// The client.
pub(super) struct Client {
    mac: MacAddr,
    random: Generator,
    state: State,
    /// The request's id, and how often it was sent.
    xid: u32,
    sent: u32,
    /// When the next message is due, or the lease ends.
    due: Duration,
    /// How long the client waits after the next refusal.
    hold: Duration,
    /// What was wrong with the last answer.
    pub refused: Option<LeaseError>,
    /// How many answers were refused, or were refusals.
    pub refusals: u64,
}

impl Client {
    /// A client whose first request is due at once.
    pub fn new(mac: MacAddr, mut random: Generator) -> Self {
        let xid = low_u32(random.word());
        Self {
            mac,
            random,
            state: State::Selecting,
            xid,
            sent: 0,
            due: Duration::ZERO,
            hold: FIRST,
            refused: None,
            refusals: 0,
        }
    }

    /// The gateway that comes with the lease and cannot be used.
    pub fn bad_gateway(&self) -> Option<Ipv4Addr> {
        match self.state {
            State::Bound(lease) => lease.bad_gateway,
            _ => None,
        }
    }

    /// When [`Self::step`] has something to do.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Returns the message and the event that are due.
    pub fn step(&mut self, now: Duration) -> (Option<Message>, Option<Event>) {
        if now < self.due {
            return (None, None);
        }
        match self.state {
            State::Requesting { .. } if self.sent >= REQUESTS => {
                self.start_again(now);
                (None, None)
            }
            State::Bound(lease) if now >= lease.end => {
                self.start_again(now);
                (None, Some(Event::Lost))
            }
            State::Bound(lease) => {
                if self.sent == 0 {
                    self.xid = low_u32(self.random.word());
                }
                self.sent = self.sent.saturating_add(1);
                // Wait half of the remaining time (4.4.5).
                let until = if now < lease.rebind { lease.rebind } else { lease.end };
                let wait = until.saturating_sub(now).checked_div(2).unwrap_or(RENEWALS).max(RENEWALS);
                self.due = now.saturating_add(wait).min(until.max(now.saturating_add(FIRST)));
                (Some(self.message(now < lease.rebind)), None)
            }
            State::Selecting | State::Requesting { .. } => {
                let shift = self.sent.min(6);
                let wait = FIRST.saturating_mul(1_u32.wrapping_shl(shift)).min(LONGEST);
                self.due = now.saturating_add(self.about(wait));
                self.sent = self.sent.saturating_add(1);
                (Some(self.message(false)), None)
            }
        }
    }

    /// Takes a datagram that came from port 67 to port 68.
    pub fn take(&mut self, datagram: &[u8], now: Duration) -> Option<Event> {
        let datagram = dhcp_options::unfolded(datagram)?;
        let packet = DhcpPacket::new_checked(&datagram[..]).ok()?;
        let mine = packet.client_hardware_address() == EthernetAddress(self.mac.0);
        if !mine || packet.transaction_id() != self.xid || self.sent == 0 {
            return None;
        }
        let Ok(answer) = DhcpRepr::parse(&packet) else {
            self.refuse(LeaseError::Malformed);
            return None;
        };
        let Some(server) = answer.server_identifier else {
            self.refuse(LeaseError::NoServer);
            return None;
        };
        match (self.state, answer.message_type) {
            (State::Selecting, DhcpMessageType::Offer) => {
                match lease_of(&answer, server, now) {
                    Ok(lease) => {
                        self.state = State::Requesting { address: lease.settings.address, server };
                        (self.sent, self.due) = (0, now);
                    }
                    // Another server may have a better offer: go on.
                    Err(error) => self.refuse(error),
                }
                None
            }
            (State::Requesting { server: asked, .. }, DhcpMessageType::Ack) if server == asked => {
                self.acknowledged(&answer, server, now, false)
            }
            (State::Requesting { server: asked, .. }, DhcpMessageType::Nak) if server == asked => {
                self.refuse(LeaseError::Refused);
                self.start_again(now);
                None
            }
            (State::Bound(_), DhcpMessageType::Ack) => self.acknowledged(&answer, server, now, true),
            (State::Bound(_), DhcpMessageType::Nak) => {
                self.refuse(LeaseError::Refused);
                self.start_again(now);
                Some(Event::Lost)
            }
            _ => None,
        }
    }

    fn acknowledged(
        &mut self,
        answer: &DhcpRepr<'_>,
        server: Ipv4Addr,
        now: Duration,
        renewed: bool,
    ) -> Option<Event> {
        match lease_of(answer, server, now) {
            Ok(lease) => {
                // Only a renewed lease resets the interval: one that the server revokes earlier must not speed the
                // client up.
                if renewed {
                    self.hold = FIRST;
                }
                self.state = State::Bound(lease);
                (self.sent, self.due) = (0, lease.renew);
                Some(Event::Leased(lease.settings))
            }
            Err(error) => {
                self.refuse(error);
                self.start_again(now);
                renewed.then_some(Event::Lost)
            }
        }
    }

    fn refuse(&mut self, error: LeaseError) {
        self.refused = Some(error);
        self.refusals = self.refusals.wrapping_add(1);
    }

    /// Starts again, with another id, after an interval that doubles each time.
    fn start_again(&mut self, now: Duration) {
        self.state = State::Selecting;
        self.xid = low_u32(self.random.word());
        self.sent = 0;
        self.due = now.saturating_add(self.about(self.hold));
        self.hold = self.hold.saturating_mul(2).min(LONGEST);
    }

    /// A random time from 7/8 to 9/8 of `wait`, so that machines that start together do not stay in step.
    fn about(&mut self, wait: Duration) -> Duration {
        let eighth = wait.checked_div(8).unwrap_or(wait);
        let part = u32::from((self.random.word() & 0xff) as u8);
        let more = eighth.saturating_mul(2).saturating_mul(part).checked_div(256).unwrap_or(eighth);
        wait.saturating_sub(eighth).saturating_add(more)
    }

    fn message(&self, to_server: bool) -> Message {
        let (message_type, requested_ip, server_identifier, client_ip, to) = match self.state {
            State::Selecting => (DhcpMessageType::Discover, None, None, Ipv4Addr::UNSPECIFIED, None),
            State::Requesting { address, server } => {
                (DhcpMessageType::Request, Some(address), Some(server), Ipv4Addr::UNSPECIFIED, None)
            }
            State::Bound(Lease { settings, server, .. }) => {
                (DhcpMessageType::Request, None, None, settings.address, to_server.then_some(server))
            }
        };
        let mac = EthernetAddress(self.mac.0);
        let repr = DhcpRepr {
            message_type,
            transaction_id: self.xid,
            secs: 0,
            client_hardware_address: mac,
            client_ip,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            // Without an address the client receives broadcasts only.
            broadcast: client_ip.is_unspecified(),
            requested_ip,
            client_identifier: Some(mac),
            server_identifier,
            parameter_request_list: Some(&WANTED),
            dns_servers: None,
            max_size: Some(576),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = alloc::vec![0; repr.buffer_len()];
        // The buffer has the length that was asked for.
        let _ = repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes));
        Message { bytes, to }
    }
}

/// The lease in an answer.
fn lease_of(answer: &DhcpRepr<'_>, server: Ipv4Addr, now: Duration) -> Result<Lease, LeaseError> {
    let given = answer.subnet_mask.ok_or(LeaseError::NoMask)?;
    let mask = given.to_bits();
    if mask.leading_ones().saturating_add(mask.trailing_zeros()) < 32 {
        return Err(LeaseError::Mask(given));
    }
    let mut settings = Settings {
        address: answer.your_ip,
        prefix: low_u8(mask.leading_ones().into()),
        gateway: answer.router,
    };
    let (mut check, mut bad_gateway) = (settings.check(), None);
    if let Err(SettingsError::Gateway(gateway)) = check {
        // The network itself can still be used.
        (settings.gateway, bad_gateway) = (None, Some(gateway));
        check = settings.check();
    }
    check.map_err(LeaseError::Settings)?;
    let seconds = answer.lease_duration.unwrap_or(SHORTEST_LEASE);
    if seconds < SHORTEST_LEASE {
        return Err(LeaseError::Short(seconds));
    }
    let lease = Duration::from_secs(seconds.into());
    let of_lease = |eighths: u32| lease.checked_div(8).unwrap_or(lease).saturating_mul(eighths);
    let after = |seconds: Option<u32>, eighths| match seconds.map(|s| Duration::from_secs(s.into())) {
        Some(time) if time >= of_lease(1) && time < lease => time,
        _ => of_lease(eighths),
    };
    let (renew, rebind) = (after(answer.renew_duration, 4), after(answer.rebind_duration, 7));
    let renew = if renew < rebind { renew } else { of_lease(4).min(rebind) };
    let at = |after| now.saturating_add(after);
    Ok(Lease { settings, bad_gateway, server, renew: at(renew), rebind: at(rebind), end: at(lease) })
}
