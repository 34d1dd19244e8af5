//! Which interrupt a device gets: a message, else its pin, else none.

use crate::arch::cpus;
use crate::devices::bridge::Bridge;
use crate::platform::interrupts;
use crate::platform::pseries::Pseries;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use papr::device_id::DeviceId;
use papr::platform::Width;
use papr::rtas::RtasError;
use postern_core::cmdline::Irq;
use virtio_pci::interrupts::{IrqSource, MsiError};
use virtio_pci::pci::bars::Bars;
use virtio_pci::pci::command::{self, CommandError};
use virtio_pci::pci::config::{ConfigError, ConfigSpace};
use virtio_pci::pci::msix::{Msix, MsixError};
use virtio_pci::virtio::error::TransportError;
use virtio_pci::virtio::transport::Transport;

/// The queue whose completions the driver waits for, unless each CPU has its own queue: requests of a disk, received
/// frames of a card.
const QUEUE: u16 = 0;
/// Config space: the pin that the function uses, 1 for INTA (PCI 3.0, 6.2.4).
const INTERRUPT_PIN: u16 = 0x3d;

/// Why a device does not get an interrupt.
enum None {
    Capability(MsixError),
    Grant(MsiError),
    Transport(TransportError),
    Config(ConfigError),
    Command(CommandError),
    Controller(RtasError),
    /// This queue's vector register does not take the vector.
    VectorRefused(u16),
    /// A pin number that is not 1 to 4, or that the tree maps to no source.
    Pin(u32),
    /// The device has no ISR status register, by which a level interrupt is acknowledged.
    Isr,
}

impl fmt::Display for None {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(error) => error.fmt(f),
            Self::Grant(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Command(error) => error.fmt(f),
            Self::Controller(error) => write!(f, "ibm,set-xive: {error}"),
            Self::VectorRefused(queue) => write!(f, "queue {queue} does not take its message vector"),
            Self::Pin(pin) => write!(f, "interrupt pin {pin} leads nowhere"),
            Self::Isr => f.write_str("no ISR status"),
        }
    }
}

/// Gives the function the best interrupt that it has and `wish` allows: messages for up to `queues` queues, each routed
/// to the CPU of the same number; else its pin, for queue 0. A queue without an interrupt is polled.
pub fn attach(
    bridge: &Bridge,
    at: DeviceId,
    bars: &Bars,
    transport: &mut Transport<Pseries>,
    wish: Irq,
    queues: u16,
) {
    if !interrupts::are_open() || wish == Irq::Poll {
        return;
    }
    let messages = match wish {
        Irq::Auto => messages(bridge, at, bars, transport, queues),
        Irq::Lsi | Irq::Poll => Err(None::Capability(MsixError::None)),
    };
    let lines = messages.or_else(|why| {
        log::debug!("pci {at}: no message interrupt: {why}");
        level(bridge, at, transport).map(|line| vec![line])
    });
    match lines {
        Ok(lines) => lines.into_iter().for_each(|line| transport.add_line(line)),
        Err(why) => log::info!("pci {at}: polled: {why}"),
    }
}

fn messages(
    bridge: &Bridge,
    at: DeviceId,
    bars: &Bars,
    transport: &Transport<Pseries>,
    queues: u16,
) -> Result<Vec<Arc<IrqSource>>, None> {
    let msix = Msix::find(bridge.config(), at, bars).map_err(None::Capability)?;
    let services = bridge.message_services();
    let sources = services.grant(at, queues.min(msix.entries())).map_err(None::Grant)?;
    let lines = use_messages(bridge, &msix, &sources, transport);
    if lines.is_err() {
        if let Err(error) = msix.disable(bridge.config()) {
            log::warn!("pci {at}: {error}");
        }
        services.release(at);
    }
    lines
}

fn use_messages(
    bridge: &Bridge,
    msix: &Msix,
    sources: &[u32],
    transport: &Transport<Pseries>,
) -> Result<Vec<Arc<IrqSource>>, None> {
    let vectors = u16::try_from(sources.len()).unwrap_or(u16::MAX);
    msix.enable(bridge.config(), &Pseries, vectors).map_err(None::Capability)?;
    let mut lines = Vec::new();
    for (queue, source) in (QUEUE..).zip(sources) {
        if !transport.use_vector(queue).map_err(None::Transport)? {
            return Err(None::VectorRefused(queue));
        }
        let line = Arc::new(IrqSource::message(*source));
        interrupts::register(line.clone(), cpus::server(queue.into())).map_err(None::Controller)?;
        lines.push(line);
    }
    Ok(lines)
}

fn level(bridge: &Bridge, at: DeviceId, transport: &Transport<Pseries>) -> Result<Arc<IrqSource>, None> {
    let isr = transport.isr().ok_or(None::Isr)?;
    let pin = bridge.config().read(at, INTERRUPT_PIN, Width::W8).map_err(None::Config)?;
    let number = u8::try_from(pin).ok().filter(|pin| (1..=4).contains(pin)).ok_or(None::Pin(pin))?;
    let source = bridge.level_source(at, number).ok_or(None::Pin(pin))?;
    let line = Arc::new(IrqSource::level(source, isr));
    interrupts::register(line.clone(), cpus::server(0)).map_err(None::Controller)?;
    command::enable_pin(bridge.config(), at).map_err(None::Command)?;
    Ok(line)
}
