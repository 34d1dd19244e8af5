//! The status page of `net-serve`: what it shows, and when there is one.

use crate::devices::set::{Card, Disk};
use crate::jobs::net::CardStack;
use crate::memory::heap;
use crate::platform::pseries::{self, Pseries};
use crate::platform::{interrupts, logger};
use crate::report::Report;
use alloc::vec::Vec;
use core::time::Duration;
use netstack::requests::{Request, RequestCounters, Requests};
use netstack::stack::{Counters, ServiceId};
use papr::clock::duration;
use postern_core::cmdline::Options;
use postern_core::facts::{boot, card as facts};
use status_page::{
    Device, Fact, Group, Kind, MAX_HEAD, Parsed, Refusal, Row, Status, Unit, parse, refuse, respond,
};
use svm_dma::dma::DmaSystem;
use virtio_pci::interrupts::IrqSource;
use virtio_pci::net::driver::NetDriver;

/// TCP port of the page.
const PORT: u16 = 80;

/// The status page of one card; `service` is `None` while it is off.
pub struct Page {
    number: usize,
    service: Option<ServiceId<Requests>>,
    answered: u64,
    refused: u64,
}

impl Page {
    /// Opens the page, unless the command line or the mode forbids it. States `netN.page`.
    pub fn open(options: &Options, secure: bool, card: &mut Card, report: &mut Report) -> Self {
        // The page shows no more than the console. A secure guest shows even that only if the command line asks for it.
        let on = options.http.unwrap_or(!secure);
        let service = on.then(|| card.stack.offer(|sockets| Requests::new(sockets, PORT, MAX_HEAD)));
        report.fact_now(facts::PAGE.at(card.number), if on { "on" } else { "off" });
        Self { number: card.number, service, answered: 0, refused: 0 }
    }

    /// Answers the requests that have arrived.
    pub fn answer(
        &mut self,
        stack: &mut CardStack,
        disks: &[Disk],
        dma: &DmaSystem<Pseries>,
        report: &Report,
    ) {
        let Self { number, service, answered, refused } = self;
        let Some(offered) = service.as_ref().and_then(|id| stack.service(id)) else { return };
        let requests = offered.service.counters();
        offered.service.respond(offered.now, |request| {
            let parsed = match request {
                Request::Bytes(bytes) => parse(bytes),
                Request::Unfinished => Parsed::Refused { refusal: Refusal::Unfinished, body: true },
            };
            let response = match parsed {
                Parsed::Incomplete => return None,
                Parsed::Asked(request) => {
                    *answered = answered.wrapping_add(1);
                    let rows = Rows {
                        disks,
                        dma,
                        link: offered.link,
                        number: *number,
                        counters: &offered.counters,
                        requests,
                        answered: *answered,
                        refused: *refused,
                    };
                    rows.show(report, |status| respond(request, status))
                }
                Parsed::Refused { refusal, body } => {
                    *refused = refused.wrapping_add(1);
                    refuse(refusal, body)
                }
            };
            Some(response.into_bytes())
        });
    }

    /// Closes the page and states its counters.
    pub fn close(self, card: &mut Card, report: &mut Report) {
        let Self { number, service, answered, refused } = self;
        if let Some(service) = service {
            let requests = card.stack.service(&service).map(|offered| offered.service.counters());
            card.stack.close(service);
            report.fact(facts::PAGE_DISPLACED.at(number), requests.unwrap_or_default().displaced);
            report.fact(facts::PAGE_ANSWERED.at(number), answered);
            report.fact(facts::PAGE_REFUSED.at(number), refused);
        }
    }
}

/// The sources of the page's counters.
struct Rows<'a> {
    disks: &'a [Disk],
    dma: &'a DmaSystem<Pseries>,
    link: &'a NetDriver<Pseries, Pseries>,
    number: usize,
    counters: &'a Counters,
    requests: RequestCounters,
    answered: u64,
    refused: u64,
}

const fn row(kind: Kind, name: &'static str, label: &'static str, value: u64) -> Row {
    Row { name, label, kind, unit: Unit::Count, value, of: None }
}

const fn counter(name: &'static str, label: &'static str, value: u64) -> Row {
    row(Kind::Counter, name, label, value)
}

const fn gauge(name: &'static str, label: &'static str, value: u64) -> Row {
    row(Kind::Gauge, name, label, value)
}

const fn bytes(row: Row) -> Row {
    Row { unit: Unit::Bytes, ..row }
}

const fn of(row: Row, most: u64) -> Row {
    Row { of: Some(most), ..row }
}

fn milliseconds(kind: Kind, name: &'static str, label: &'static str, time: Duration) -> Row {
    let value = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Row { unit: Unit::Milliseconds, ..row(kind, name, label, value) }
}

fn arrivals(line: Option<&IrqSource>) -> Row {
    let count = line.map_or(0, IrqSource::arrivals);
    counter("postern_device_interrupts_total", "interrupts", count.into())
}

impl Rows<'_> {
    /// Calls `show` with all counters and facts.
    fn show<T>(&self, report: &Report, show: impl FnOnce(&Status<'_>) -> T) -> T {
        let stated: Vec<_> = report.stated().collect();
        let facts: Vec<Fact<'_>> = stated.iter().map(|(key, value)| Fact { key, value }).collect();
        let mode = boot::MODE.into();
        let mode = stated.iter().find(|(name, _)| **name == mode).map_or("", |(_, value)| value);
        let image = boot::IMAGE_NAME.into();
        let image = stated.iter().find(|(name, _)| **name == image).map_or("", |(_, value)| value);
        let up = logger::since_entry();
        let (pool, interrupts, calls, card) = (self.pool(), interrupt_rows(), call_rows(up), self.card());
        let disks: Vec<_> = self.disks.iter().map(|disk| (disk.number, disk_rows(disk))).collect();
        let topic = |title, rows| Group { title, device: None, rows };
        let mut groups = Vec::new();
        if let Some(pool) = &pool {
            groups.push(topic("Shared pool", pool));
        }
        groups.push(Group {
            title: "Network card",
            device: Some(Device { kind: "net", number: self.number }),
            rows: &card,
        });
        for (number, rows) in &disks {
            groups.push(Group { title: "Disk", device: Some(Device { kind: "blk", number: *number }), rows });
        }
        let served = self.served();
        groups.push(topic("Served", &served));
        groups.extend(interrupts.as_ref().map(|rows| topic("Interrupts", rows)));
        groups.push(topic("Calls and time", &calls));
        let version = env!("CARGO_PKG_VERSION");
        show(&Status { image, version, mode, up, groups: &groups, facts: &facts })
    }

    fn pool(&self) -> Option<Vec<Row>> {
        let pool = self.dma.pool_statistics()?;
        let copied = self.dma.counts();
        let frames = |count: u32| u64::from(count);
        let held = pool.frames.saturating_sub(pool.frames_free);
        Some(alloc::vec![
            of(gauge("postern_pool_frames_held", "frames held", frames(held)), frames(pool.frames)),
            gauge("postern_pool_frames", "frames shared", frames(pool.frames)),
            bytes(gauge("postern_pool_in_use_bytes", "in use", pool.bytes_in_use)),
            bytes(gauge("postern_pool_high_water_bytes", "at most", pool.high_water_bytes)),
            bytes(gauge("postern_pool_quarantined_bytes", "in quarantine", pool.bytes_quarantined)),
            counter("postern_pool_refusals_total", "refusals", pool.failures),
            bytes(counter("postern_copied_to_pool_bytes_total", "copied to it", copied.to_pool)),
            bytes(counter("postern_copied_from_pool_bytes_total", "copied from it", copied.from_pool)),
        ])
    }

    fn card(&self) -> Vec<Row> {
        let seen = self.link.statistics();
        let (rx, tx) = self.link.queue_sizes();
        let posted = self.link.receive_buffers_posted();
        alloc::vec![
            of(gauge("postern_receive_ring_posted", "receive ring", posted.into()), rx.into()),
            gauge("postern_receive_ring_entries", "receive ring, entries", rx.into()),
            gauge("postern_transmit_ring_entries", "transmit ring, entries", tx.into()),
            counter("postern_received_frames_total", "frames received", seen.rx_frames),
            bytes(counter("postern_received_bytes_total", "received", seen.rx_bytes)),
            counter("postern_sent_frames_total", "frames sent", seen.tx_frames),
            bytes(counter("postern_sent_bytes_total", "sent", seen.tx_bytes)),
            counter("postern_link_changes_total", "changes of the link", self.counters.link_changes),
            counter("postern_announcements_total", "announcements", self.counters.frames.announced),
            arrivals(self.link.transport().line()),
        ]
    }

    fn served(&self) -> Vec<Row> {
        let Counters { frames, echo, .. } = *self.counters;
        let requests = self.requests;
        alloc::vec![
            counter("postern_pings_total", "pings answered", frames.echo_requests),
            counter("postern_echo_datagrams_total", "datagrams echoed", echo.datagrams),
            counter("postern_echo_connections_total", "connections echoed", echo.connections),
            bytes(counter("postern_echo_bytes_total", "echoed", echo.udp_bytes.wrapping_add(echo.tcp_bytes))),
            counter("postern_page_connections_total", "connections to this page", requests.connections),
            counter("postern_page_answered_total", "requests answered", self.answered),
            counter("postern_page_refused_total", "requests refused", self.refused),
            counter(
                "postern_displaced_total",
                "connections displaced",
                echo.displaced.wrapping_add(requests.displaced)
            ),
        ]
    }
}

fn disk_rows(disk: &Disk) -> Vec<Row> {
    let queues = || core::iter::once(&disk.driver).chain(&disk.others);
    let in_flight = queues().map(|queue| queue.in_flight() as u64).fold(0, u64::wrapping_add);
    let arrived = queues().map(|queue| u64::from(queue.line().map_or(0, IrqSource::arrivals)));
    let arrived = arrived.fold(0, u64::wrapping_add);
    let size = disk.driver.geometry().capacity.saturating_mul(512);
    let broken = queues().any(|queue| queue.broken().is_some());
    alloc::vec![
        bytes(gauge("postern_disk_bytes", "size", size)),
        gauge("postern_disk_queues", "queues", queues().count() as u64),
        gauge("postern_disk_ring_entries", "entries of a ring", disk.driver.queue_size().into()),
        gauge("postern_disk_requests_in_flight", "requests in flight", in_flight),
        gauge("postern_device_broken", "broken", broken.into()),
        counter("postern_device_interrupts_total", "interrupts", arrived),
    ]
}

fn interrupt_rows() -> Option<[Row; 6]> {
    let seen = interrupts::statistics()?;
    Some([
        counter("postern_interrupts_total", "of devices", seen.taken),
        counter("postern_ipis_total", "of other CPUs", seen.ipis),
        counter("postern_unknown_interrupts_total", "of unknown sources", seen.unknown),
        counter("postern_masked_interrupts_total", "of masked sources", seen.masked),
        counter("postern_interrupt_storms_total", "storms", seen.storms),
        counter("postern_spurious_interrupts_total", "without a source", seen.spurious),
    ])
}

fn call_rows(up: Duration) -> [Row; 6] {
    let (used, free) = heap::usage();
    let idle = duration(&Pseries, interrupts::given_up());
    [
        counter("postern_ultracalls_total", "ultracalls", pseries::ultracalls()),
        counter("postern_hcalls_total", "hypercalls", pseries::hcalls()),
        milliseconds(Kind::Gauge, "postern_up_seconds", "up", up),
        milliseconds(Kind::Counter, "postern_idle_seconds_total", "given up, all CPUs", idle),
        bytes(gauge("postern_heap_used_bytes", "heap in use", used as u64)),
        bytes(gauge("postern_heap_free_bytes", "heap free", free as u64)),
    ]
}
