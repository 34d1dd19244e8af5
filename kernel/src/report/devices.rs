//! DMA windows, disks and cards, as the summary shows them.

use super::Report;
use super::boot::size;
use super::live;
use crate::devices::set::{Devices, Disk};
use crate::memory::{accept, heap};
use crate::platform::interrupts;
use crate::platform::pseries::{self, Pseries};
use alloc::format;
use alloc::string::String;
use core::fmt::Display;
use core::time::Duration;
use papr::addr::FRAME_SHIFT;
use papr::clock::duration;
use postern_core::facts::{self, Key};
use postern_core::outcome::{Exposure, Outcome};
use svm_dma::dma::Dma;
use svm_dma::tce::WindowReport;
use virtio_pci::blk::abilities::{Abilities, Offer, WriteCache};
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::net::driver::NetDriver;
use virtio_pci::net::link::Link;
use virtio_pci::pci::functions::Function;

fn translation(dma: &Dma<Pseries>) -> &'static str {
    if dma.translated() { "tce" } else { "gpa" }
}

fn bounced(dma: &Dma<Pseries>) -> &'static str {
    if dma.bounced() { "yes" } else { "no" }
}

fn queues(count: usize) -> String {
    if count == 1 { "queue".into() } else { format!("{count} queues") }
}

impl Report {
    /// A host bridge's DMA window, and how long it took to map it.
    pub fn window(&mut self, bridge: &pseries_tree::Bridge, window: &WindowReport, took: Duration) {
        let domain = bridge.domain;
        let number = usize::from(domain);
        self.step("tce", format_args!("host bridge {domain:04x}, {}: {window}", bridge.name));
        self.fact(facts::window::LIOBN.at(number), format_args!("{:#x}", window.liobn));
        self.fact(facts::window::KIND.at(number), window.kind);
        self.fact(facts::window::PAGES.at(number), window.pages_mapped);
        self.fact(facts::window::MAP_US.at(number), took.as_micros());
    }

    /// A disk that was brought up.
    pub fn disk(&mut self, disk: &Disk) {
        let (number, driver) = (disk.number, &disk.driver);
        let (geometry, dma) = (driver.geometry(), driver.dma());
        let bytes = geometry.capacity.saturating_mul(SECTOR);
        self.step(
            &format!("blk{number}"),
            format_args!(
                "virtio-blk {:?} at {}, {}{}, blocks of {}; features {}, {} of {}, addresses {}, bounced: {}, \
                 interrupts: {}",
                disk.id,
                dma.id(),
                size(bytes),
                if geometry.read_only { ", read-only" } else { "" },
                geometry.block,
                driver.features(),
                queues(disk.others.len().saturating_add(1)),
                driver.queue_size(),
                translation(dma),
                bounced(dma),
                driver.delivery(),
            ),
        );
        let mut fact = |key: Key<1>, value: &dyn Display| self.fact(key.at(number), value);
        fact(facts::disk::CAPACITY_BYTES, &bytes);
        fact(facts::disk::READ_ONLY, &if geometry.read_only { "yes" } else { "no" });
        fact(facts::disk::ID, &disk.id);
        fact(facts::disk::DEVICE, &dma.id());
        fact(facts::disk::TRANSLATION, &translation(dma));
        fact(facts::disk::BOUNCED, &bounced(dma));
        fact(facts::disk::INTERRUPTS, &driver.delivery());
        fact(facts::disk::QUEUES, &disk.others.len().saturating_add(1));
        fact(facts::disk::TAIL_BYTES, &geometry.tail_bytes());
        fact(facts::disk::BLOCK_BYTES, &geometry.block);
        self.abilities(number, driver.abilities());
        if geometry.tail_bytes() != 0 {
            log::warn!("blk{number}: the last {} bytes are no whole block", geometry.tail_bytes());
        }
    }

    /// The features of a disk beyond reading and writing.
    fn abilities(&mut self, number: usize, abilities: Abilities) {
        let Abilities { discard, write_zeroes, write_cache, topology } = abilities;
        let cache = match write_cache {
            WriteCache::Back => "back",
            WriteCache::Through => "through",
        };
        self.fact(facts::disk::PHYSICAL_BYTES.at(number), topology.physical_block);
        self.fact(facts::disk::OPTIMAL_BYTES.at(number), topology.optimal_io);
        self.fact(facts::disk::WRITE_CACHE.at(number), cache);
        for (key, what, offer) in [
            (facts::disk::DISCARD_BYTES, "discard", discard),
            (facts::disk::ZEROES_BYTES, "write zeroes", write_zeroes),
        ] {
            if let Offer::Unusable(why) = offer {
                log::warn!("blk{number}: {what} is not used: {why}");
            }
            match offer.limits() {
                Some(limits) => self.fact(key.at(number), u64::from(limits.sectors).saturating_mul(SECTOR)),
                None => self.fact(key.at(number), "none"),
            }
        }
    }

    /// The sizes that the disks have at the end.
    pub fn resizes(&mut self, devices: &mut Devices) {
        for Disk { number, driver, .. } in &mut devices.disks {
            // A broken disk keeps its last known size.
            let _ = driver.refresh();
            self.fact(facts::disk::RESIZES.at(*number), driver.resizes());
            let bytes = driver.geometry().capacity.saturating_mul(SECTOR);
            self.fact(facts::disk::END_BYTES.at(*number), bytes);
        }
    }

    /// A source of random bytes that was read.
    pub fn rng(&mut self, function: &Function, bytes: usize) {
        self.step("rng", format_args!("virtio-rng at {}, {bytes} bytes mixed in", function.at));
    }

    /// A card that was brought up.
    pub fn card(&mut self, number: usize, driver: &NetDriver<Pseries, Pseries>) {
        // Printed at once: the other end of the wire waits for it.
        self.fact_now(facts::card::MAC.at(number), driver.mac());
        let dma = driver.dma();
        let (rx, tx) = driver.queue_sizes();
        self.step(
            &format!("net{number}"),
            format_args!(
                "virtio-net {} at {}, MTU {}; features {}, queues of {rx} and {tx}, addresses {}, bounced: {}, \
                 interrupts: {}",
                driver.mac(),
                dma.id(),
                driver.mtu(),
                driver.features(),
                translation(dma),
                bounced(dma),
                driver.transport().delivery(),
            ),
        );
        let mut fact = |key: Key<1>, value: &dyn Display| self.fact(key.at(number), value);
        fact(facts::card::DEVICE, &dma.id());
        fact(facts::card::TRANSLATION, &translation(dma));
        fact(facts::card::BOUNCED, &bounced(dma));
        fact(facts::card::INTERRUPTS, &driver.transport().delivery());
    }

    /// Counters at the end: bytes through the pool, interrupts, calls, proved memory, the heap.
    pub fn counters(&mut self, devices: &Devices) {
        let counts = devices.dma.counts();
        self.step("bounced", live::copied(devices));
        self.fact(facts::end::DEVICES_UNUSED, devices.unused);
        self.fact(facts::end::DEVICES_APPEARED, devices.appeared);
        self.fact(facts::end::BYTES_TO_POOL, counts.to_pool);
        self.fact(facts::end::BYTES_FROM_POOL, counts.from_pool);
        if let Some(pool) = devices.dma.pool_statistics() {
            self.step("pool use", live::pool(&pool));
        }
        match interrupts::statistics() {
            Some(seen) => {
                self.step("interrupts", live::interrupts(&seen));
                self.fact(facts::end::IRQ_TAKEN, seen.taken);
                self.fact(facts::end::IRQ_UNKNOWN, seen.unknown);
            }
            None => log::warn!("interrupts: a CPU is stopped in the middle of one"),
        }
        let latency = duration(&Pseries, interrupts::wake_latency());
        self.fact(facts::end::IRQ_WAKE_LATENCY_NS, latency.as_nanos());
        self.step("calls", live::calls());
        self.fact(facts::end::ULTRACALLS, pseries::ultracalls());
        accept::report(self);
        let (used, free) = heap::usage();
        self.fact(facts::end::HEAP_USED, used);
        self.fact(facts::end::HEAP_FREE, free);
        self.fact(facts::end::HEAP_UNUSED, heap::unused());
    }

    /// Whether `console=uart` found a 16550.
    pub fn uart(&mut self, attached: bool) {
        self.fact(facts::end::CONSOLE_UART, if attached { "attached" } else { "none" });
    }

    /// The work that was asked for and done, which decides the exit status.
    pub fn outcome(&mut self, outcome: &Outcome) {
        self.step("work", outcome);
        self.fact(facts::end::WORK_ASKED, outcome.work.asked());
        self.fact(facts::end::WORK_DONE, outcome.work.done());
        self.fact(facts::end::DEVICES_REFUSED, outcome.refused);
    }

    /// Reads the DMA windows back, and states how many pages besides the pool devices can reach.
    pub fn exposure(&mut self, devices: &Devices) -> Exposure {
        let Some(pool) = devices.pool else { return Exposure::Ordinary };
        let shared = pool.len >> FRAME_SHIFT;
        self.fact(facts::pool::PAGES_SHARED, shared);
        match live::exposed(devices) {
            Ok(exposed) => {
                let exposed = exposed.unwrap_or(0);
                self.step(
                    "exposed",
                    format_args!("{shared} frames shared; {exposed} pages reachable besides them"),
                );
                self.fact(facts::pool::PAGES_EXPOSED, exposed);
                Exposure::Pages(exposed)
            }
            Err(error) => {
                log::error!("exposure cannot be told: {error}");
                self.fact(facts::pool::PAGES_EXPOSED, "unknown");
                Exposure::Unknown
            }
        }
    }
}
