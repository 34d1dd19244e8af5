//! Tests of the first network card.

use super::guest::Guest;
use super::not_ok::{NotOk, same};
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use netstack::echo::ECHO_PORT;
use netstack::settings::Settings;
use netstack::stack::StackError;
use postern_core::disk::pattern::Pattern;
use postern_kernel::devices::set::Card;
use postern_kernel::jobs::net::{PING_WAIT, configure};
use postern_kernel::platform::pseries::Pseries;
use virtio_pci::net::link::Link;

/// How long the test waits for an answer from an address that nobody has.
const NOBODY_WAIT: Duration = Duration::from_millis(300);
/// How long an echo of [`STREAM`] bytes may take.
const ECHO_WAIT: Duration = Duration::from_secs(10);
const STREAM: usize = 64 << 10;
/// Bytes of an IPv4 header and of one of ICMP.
const HEADERS: usize = 20 + 8;

fn card<'a>(guest: &'a mut Guest<'_>) -> Result<(&'a mut Card, Settings), NotOk> {
    let card = guest.devices.cards.first_mut().ok_or(NotOk::Missing("network card"))?;
    // Wait for an address only once.
    if guest.no_address {
        return Err(NotOk::Missing("address of the card, as before"));
    }
    let settings = configure(card, guest.report);
    guest.no_address = settings.is_err();
    Ok((card, settings?))
}

fn gateway(settings: Settings) -> Result<Ipv4Addr, NotOk> {
    settings.gateway.ok_or(NotOk::Missing("gateway"))
}

/// The device says that its link is up.
pub fn link(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let card = guest.devices.cards.first_mut().ok_or(NotOk::Missing("network card"))?;
    if card.stack.link().is_up() {
        Ok(())
    } else {
        Err(NotOk::Missing("link: the card says that it is down"))
    }
}

/// Gets a lease by DHCP, which takes four datagrams.
pub fn udp(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    card(guest).map(drop)
}

/// The gateway has a hardware address. For an address that no host has, ARP fails before a ping.
pub fn arp(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let (card, settings) = card(guest)?;
    let gateway = gateway(settings)?;
    match card.stack.ping(&Pseries, gateway, PING_WAIT) {
        // Another test checks whether it answers.
        Ok(_) | Err(StackError::NoAnswer { sent: true, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let nobody = nobody(settings, gateway);
    match card.stack.ping(&Pseries, nobody, NOBODY_WAIT) {
        Err(StackError::NoAnswer { sent: false, .. }) => Ok(()),
        Ok(_) | Err(StackError::NoAnswer { .. }) => Err(NotOk::Reached(nobody)),
        Err(error) => Err(error.into()),
    }
}

/// An address of the network that is neither ours nor the gateway's, near its end.
fn nobody(settings: Settings, gateway: Ipv4Addr) -> Ipv4Addr {
    let host_bits = 32u32.saturating_sub(settings.prefix.into());
    let hosts = u32::MAX.checked_shr(32u32.saturating_sub(host_bits)).unwrap_or(0);
    let network = settings.address.to_bits() & !hosts;
    let candidates = (1..=3).map(|back| Ipv4Addr::from_bits(network | hosts.saturating_sub(back)));
    let mut free = candidates.filter(|address| *address != settings.address && *address != gateway);
    free.next().unwrap_or(gateway)
}

/// The gateway answers.
pub fn icmp(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let (card, settings) = card(guest)?;
    card.stack.ping(&Pseries, gateway(settings)?, PING_WAIT)?;
    Ok(())
}

/// A ping of the largest packet. One that comes back in fragments is not put together, and so is none.
pub fn mtu(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let (card, settings) = card(guest)?;
    let payload = usize::from(card.stack.link().mtu()).saturating_sub(HEADERS);
    card.stack.ping_with(&Pseries, gateway(settings)?, payload, PING_WAIT)?;
    Ok(())
}

/// What is sent comes back.
pub fn tcp(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let host = guest.echo.ok_or(NotOk::Missing("host that echoes TCP"))?;
    let mut sent = alloc::vec![0; STREAM];
    Pattern { seed: guest.options.seed }.fill(0, &mut sent);
    let (card, _) = card(guest)?;
    let came = card.stack.exchange(&Pseries, SocketAddrV4::new(host, ECHO_PORT), &sent, ECHO_WAIT)?;
    same("bytes that came back", came.len() as u64, sent.len() as u64)?;
    match sent.iter().zip(&came).find(|(sent, came)| sent != came) {
        None => Ok(()),
        Some((sent, came)) => same("a byte that came back", u64::from(*came), u64::from(*sent)),
    }
}
