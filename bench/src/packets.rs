//! Guest instructions per packet: packets of one kind between two marks at which the guest prints its time.

use crate::guest::{Guest, GuestConfig, GuestError, Parts};
use crate::measure::{INSTRUCTIONS, each, instructions_of};
use crate::network::{self, Moved, Until, WINDOW};
use crate::plan::{Effort, System};
use crate::results::Results;
use std::io;

/// Datagrams of one figure.
const DATAGRAMS: u64 = 4000;
/// Bytes of a stream of one figure, and bytes of a segment of QEMU's user networking.
const STREAM: u64 = 8 << 20;
const SEGMENT: u64 = 1460;

/// The ports of a guest at work.
struct Ports {
    echo: u16,
    sink: u16,
    source: u16,
}

/// One kind of packet: its name, the exchange, and the amount of one packet.
struct Work {
    name: String,
    exchange: fn(&Ports) -> io::Result<Moved>,
    packet: u64,
}

/// All kinds.
fn works() -> [Work; 5] {
    [
        Work {
            name: "UDP echo, 64 bytes, one in flight, each".to_owned(),
            exchange: |ports| network::datagrams(ports.echo, 64, 1, Until::Done(DATAGRAMS)),
            packet: 1,
        },
        Work {
            name: format!("UDP echo, 64 bytes, {WINDOW} in flight, each"),
            exchange: |ports| network::datagrams(ports.echo, 64, WINDOW, Until::Done(DATAGRAMS)),
            packet: 1,
        },
        Work {
            name: format!("UDP echo, 1400 bytes, {WINDOW} in flight, each"),
            exchange: |ports| network::datagrams(ports.echo, 1400, WINDOW, Until::Done(DATAGRAMS)),
            packet: 1,
        },
        Work {
            name: format!("TCP to the guest, each {SEGMENT} bytes"),
            exchange: |ports| network::stream_in(ports.sink, Until::Done(STREAM)),
            packet: SEGMENT,
        },
        Work {
            name: format!("TCP from the guest, each {SEGMENT} bytes"),
            exchange: |ports| network::stream_out(ports.source, Until::Done(STREAM)),
            packet: SEGMENT,
        },
    ]
}

/// Counts them on one system, as often as the effort says.
pub fn instructions(
    parts: &Parts,
    system: System,
    effort: Effort,
    results: &mut Results,
) -> Result<(), GuestError> {
    let words = "run=net-bench".to_owned();
    let config = GuestConfig { words, counted: true, ..GuestConfig::network(system) };
    let Some(mut guest) = Guest::start(parts, &config)? else { return Ok(()) };
    guest.until("postern: net0.serve=ready")?;
    let echo = guest.ports()?.udp;
    let ports = Ports { echo, sink: guest.ports_of(9)?.tcp, source: guest.ports_of(19)?.tcp };
    // Not measured: ARP and other work that happens only once.
    network::datagrams(ports.echo, 64, 1, Until::Done(1)).map_err(GuestError::Exchange)?;
    let works = works();
    let mut marks = 0..;
    let mut between = Vec::new();
    for work in works.iter().cycle().take(works.len() * effort.rounds) {
        let before = mark(&mut guest, &mut marks)?;
        let moved = (work.exchange)(&ports).map_err(GuestError::Exchange)?;
        between.push((work, moved.amount / work.packet, before, mark(&mut guest, &mut marks)?));
    }
    guest.quit();
    let report = guest.finish()?;
    for (work, packets, before, after) in between {
        let passed = |key| {
            let at = |mark: u64| report.number(&format!("net0.mark.{mark}.{key}"));
            at(after)?.checked_sub(at(before)?)
        };
        let (Some(ticks), Some(idle)) = (passed("ticks"), passed("idle")) else { continue };
        let row = instructions_of(INSTRUCTIONS, work.name.clone());
        results.add(&row, system, each(ticks.saturating_sub(idle), packets));
    }
    Ok(())
}

/// Makes the guest print its time, and returns the mark's number.
fn mark(guest: &mut Guest, marks: &mut impl Iterator<Item = u64>) -> Result<u64, GuestError> {
    let number = marks.next().unwrap_or(0);
    guest.type_in(b"m\n");
    guest.until(&format!("postern: net0.mark.{number}.idle="))?;
    Ok(number)
}
