//! A DHCP client (RFC 2131): decisions only. Datagrams, addresses and routes are the stack's.
//!
//! The pace of what is sent is ours, whatever servers answer: a question is repeated with the same id after a time that
//! doubles, and a refusal is followed by a time without questions, which doubles, too (4.1, 4.4.1).

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

/// Where clients and servers listen.
pub(super) const CLIENT_PORT: u16 = 68;
pub(super) const SERVER_PORT: u16 = 67;
/// The first and the longest time until a question is repeated.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(64);
/// Requests for one offer.
const REQUESTS: u32 = 4;
/// A lease that is shorter would be renewed all the time.
const SHORTEST_LEASE: u32 = 10;
/// Shortest time between two attempts to renew (4.4.5).
const RENEWALS: Duration = Duration::from_secs(60);
/// Subnet mask and router.
const WANTED: [u8; 2] = [1, 3];

/// What was wrong with a server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LeaseError {
    /// An address or a gateway that cannot be.
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
    /// An answer with our question's id that is no DHCP message.
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
    /// To this server; else to everybody.
    pub to: Option<Ipv4Addr>,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// There is a lease.
    Leased(Settings),
    /// It is over.
    Lost,
}

/// An answer that may become a lease.
#[derive(Clone, Copy)]
struct Lease {
    settings: Settings,
    /// A gateway that the server names and that cannot be one.
    bad_gateway: Option<Ipv4Addr>,
    server: Ipv4Addr,
    renew: Duration,
    rebind: Duration,
    end: Duration,
}

#[derive(Clone, Copy)]
enum State {
    /// Nobody has offered anything.
    Selecting,
    /// An offer of this address by this server was asked for.
    Requesting { address: Ipv4Addr, server: Ipv4Addr },
    /// There is a lease, to be renewed in time.
    Bound(Lease),
}

/// The client.
pub(super) struct Client {
    mac: MacAddr,
    random: Generator,
    state: State,
    /// The question's id, and how often it was sent.
    xid: u32,
    sent: u32,
    /// When something is to be sent, or the lease is over.
    due: Duration,
    /// How long the next refusal keeps it silent.
    hold: Duration,
    /// What was wrong with the last answer.
    pub refused: Option<LeaseError>,
    /// How many answers were refused, or were refusals.
    pub refusals: u64,
}

impl Client {
    /// A client that asks at once.
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

    /// What is due: a message, an end.
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
                // Half of what is left (4.4.5).
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
                    // Another server may do better; the question goes on.
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
                // One that is taken back before it is ever renewed is no reason to ask faster.
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

    /// Asks anew, with another id, after a time that doubles each time.
    fn start_again(&mut self, now: Duration) {
        self.state = State::Selecting;
        self.xid = low_u32(self.random.word());
        self.sent = 0;
        self.due = now.saturating_add(self.about(self.hold));
        self.hold = self.hold.saturating_mul(2).min(LONGEST);
    }

    /// A time from seven to nine eighths of `wait`, so that machines that start together part.
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
            // Without an address nothing can be received that is not for everybody.
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
