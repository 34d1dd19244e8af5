//! Jobs on network cards.

use crate::devices::DeviceError;
use crate::devices::host_bridge::Watch;
use crate::devices::set::{Card, Devices};
use crate::jobs::{ended, page};
use crate::platform::console;
use crate::platform::pseries::Pseries;
use crate::report::Report;
use alloc::format;
use core::time::Duration;
use netstack::settings::Settings;
use netstack::stack::Stack;
use papr::clock::{Clock, ticks};
use postern_core::cmdline::{Options, Step};
use postern_core::facts::{self, Name};
use postern_core::outcome::Work;
use virtio_pci::net::driver::NetDriver;

const LEASE_WAIT: Duration = Duration::from_secs(15);
/// How long a gateway may take to answer.
pub const PING_WAIT: Duration = Duration::from_secs(3);
/// What a script or a person types to end `net-serve`.
pub const QUIT: u8 = b'q';
/// Interval at which the console is polled meanwhile.
const CONSOLE_POLL: Duration = Duration::from_millis(5);
/// `net-serve` without `serve=` lasts until somebody ends it, but no longer than this.
pub const LONGEST_SERVE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Gets an address for each card, and pings its gateway.
pub fn lease_and_ping(_: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let mut work = Work::default();
    for card in &mut devices.cards {
        let result = lease_and_ping_one(card, report);
        ended(&mut work, format_args!("net{}", card.number), result);
    }
    work
}

fn lease_and_ping_one(card: &mut Card, report: &mut Report) -> Result<(), DeviceError> {
    configure(card, report)?;
    let label = format!("net{}", card.number);
    let Some(gateway) = card.stack.gateway()? else {
        report.step(&label, "no gateway to ping");
        return Ok(());
    };
    let time = card.stack.ping(&Pseries, gateway, PING_WAIT)?;
    report.step(&label, format_args!("gateway {gateway} answers a ping in {} us", time.as_micros()));
    report.fact(facts::card::PING_US.at(card.number), time.as_micros());
    Ok(())
}

/// The network of a card.
pub type CardStack = Stack<NetDriver<Pseries, Pseries>>;

/// Answers ARP, ICMP echo, UDP and TCP echo on port 7, and requests for the status page, on the first card that gets an
/// address, until told to end.
pub fn serve(options: &Options, devices: &mut Devices, report: &mut Report) -> Work {
    let mut work = Work::default();
    let Devices { cards, disks, dma, pool, bridges, appeared, .. } = devices;
    if let Some(card) = first_with_address(Step::NetServe, cards, &mut work, report) {
        let label = format!("net{}", card.number);
        let mut page = page::Page::open(options, pool.is_some(), card, report);
        let mut watch = Watch::default();
        let served = serve_and(
            options,
            card,
            report,
            |_| {},
            |stack, report| {
                page.answer(stack, disks, dma, report);
                *appeared = appeared.saturating_add(watch.poll(bridges));
            },
        );
        page.close(card, report);
        ended(&mut work, label, served);
    }
    work
}

/// The first card that gets an address. Cards before it count as failed; cards after it are logged as not used.
pub fn first_with_address<'a>(
    step: Step,
    cards: &'a mut [Card],
    work: &mut Work,
    report: &mut Report,
) -> Option<&'a mut Card> {
    if cards.is_empty() {
        ended(work, step, Err(DeviceError::Missing("network card")));
    }
    let mut found: Option<&mut Card> = None;
    for card in cards {
        if let Some(found) = &found {
            log::info!("net{}: not used: {step} serves one card, net{}", card.number, found.number);
            continue;
        }
        match configure(card, report) {
            Ok(_) => found = Some(card),
            Err(error) => ended(work, format_args!("net{}", card.number), Err(error)),
        }
    }
    found
}

/// [`serve`] on one card. Each typed byte but [`QUIT`] goes to `typed`; `step` is called after each step of the network.
///
/// # Errors
/// The card failed.
pub fn serve_and(
    options: &Options,
    card: &mut Card,
    report: &mut Report,
    mut typed: impl FnMut(u8),
    mut step: impl FnMut(&mut CardStack, &Report),
) -> Result<(), DeviceError> {
    let label = format!("net{}", card.number);
    report.fact_now(facts::card::SERVE.at(card.number), "ready");
    let wait = options.serve.unwrap_or(LONGEST_SERVE);
    // Polling the console is a hypercall; without an interval there would be one for every few frames.
    let mut next_poll = 0;
    let counters = card.stack.serve(&Pseries, wait, |stack| {
        step(stack, report);
        let now = Pseries.now();
        if now < next_poll {
            return false;
        }
        next_poll = now.saturating_add(ticks(&Pseries, CONSOLE_POLL));
        console::typed().any(|byte| {
            if byte != QUIT {
                typed(byte);
            }
            byte == QUIT
        })
    })?;
    report.fact_now(facts::card::SERVE.at(card.number), "done");
    report.fact(facts::card::FRAGMENTS.at(card.number), counters.frames.fragments);
    report.fact(facts::card::FRAGMENTED_PINGS.at(card.number), counters.frames.fragmented_pings);
    report.fact(facts::card::LINK_CHANGES.at(card.number), counters.link_changes);
    report.fact(facts::card::ANNOUNCED.at(card.number), counters.frames.announced);
    let echo = counters.echo;
    report.fact(facts::card::DISPLACED.at(card.number), echo.displaced);
    report.step(
        &label,
        format_args!(
            "served {} ICMP echoes, {} datagrams of {} bytes, {} connections of {} bytes",
            counters.frames.echo_requests, echo.datagrams, echo.udp_bytes, echo.connections, echo.tcp_bytes
        ),
    );
    Ok(())
}

/// Gets an address for a card, unless it has one.
///
/// # Errors
/// No server gave an address in time.
pub fn configure(card: &mut Card, report: &mut Report) -> Result<Settings, DeviceError> {
    configure_within(card, LEASE_WAIT, report)
}

/// [`configure`], waiting no longer than this.
///
/// # Errors
/// As there.
pub fn configure_within(
    card: &mut Card,
    wait: Duration,
    report: &mut Report,
) -> Result<Settings, DeviceError> {
    if let Some(settings) = card.stack.settings() {
        return Ok(settings);
    }
    let settings = card.stack.configure(&Pseries, wait)?;
    state_address(card.number, settings, report);
    Ok(settings)
}

/// Reports an address, unless that was the last one reported.
pub fn state_address(number: usize, settings: Settings, report: &mut Report) {
    let key = facts::card::IP.at(number);
    let address = format!("{}", settings.address);
    let is_known = |(name, value): (&Name, &str)| *name == key && value == address;
    if report.stated().any(is_known) {
        return;
    }
    report.step(&format!("net{number}"), format_args!("address {settings}"));
    report.fact(key, address);
    match settings.gateway {
        Some(gateway) => report.fact(facts::card::GATEWAY.at(number), gateway),
        None => report.fact(facts::card::GATEWAY.at(number), "none"),
    }
}
