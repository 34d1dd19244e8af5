//! `soak`: random work on all devices at once. The guest resets them from time to time, and the host disturbs them. At
//! the end every byte is accounted for and everything is given back.

use crate::TestError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use papr::clock::{Clock, Deadline, ticks};
use papr::parts::index;
use postern_core::cmdline::Options;
use postern_core::disk::pattern::splitmix64;
use postern_core::facts;
use postern_core::outcome;
use postern_kernel::devices::set::{Card, Devices, Disk};
use postern_kernel::jobs::blk::{SCRATCH, at_least_one, digest_one, pattern};
use postern_kernel::jobs::ended;
use postern_kernel::jobs::net::{QUIT, configure};
use postern_kernel::platform::pseries::Pseries;
use postern_kernel::platform::{console, entropy};
use postern_kernel::report::Report;
use virtio_pci::blk::error::BreakReason;
use workloads::soak::{Counters, Soak};

/// How long devices are disturbed without `serve=`.
const USUAL: Duration = Duration::from_secs(180);
/// Longest time of undisturbed work afterwards; typing `q` ends it earlier.
const CALM: Duration = Duration::from_secs(120);
/// Longest time between two resets.
const CALMEST: Duration = Duration::from_millis(400);

/// The work on all devices. A device that fails is named and gets no more work; the others go on.
struct Work<'a> {
    devices: &'a mut Devices,
    disks: Vec<Soak>,
    /// Which devices have failed: the disks, then the cards.
    failed: Vec<bool>,
    pieces: outcome::Work,
    random: u64,
    resets: u64,
    resizes: u64,
}

/// Runs the step `soak`.
pub fn soak(options: &Options, devices: &mut Devices, report: &mut Report) -> outcome::Work {
    let mut work = outcome::Work::default();
    if devices.disks.is_empty() && devices.cards.is_empty() {
        return at_least_one("disk or network card", work);
    }
    work.add(disturb(options, devices, report));
    for disk in devices.disks.iter_mut().filter(|disk| disk.id != SCRATCH) {
        let result = digest_one(disk, report);
        ended(&mut work, format_args!("blk{}", disk.number), result);
    }
    if devices.disks.iter().any(|disk| disk.id == SCRATCH) {
        work.add(pattern(options, devices, report));
    }
    ended(&mut work, "soak", give_back(devices, report));
    work
}

fn disturb(options: &Options, devices: &mut Devices, report: &mut Report) -> outcome::Work {
    let (count, random) = (0..devices.disks.len() as u64, options.seed);
    let soak = |(number, disk): (u64, &Disk)| {
        Soak::new(
            splitmix64(random ^ number << 32),
            disk.driver.geometry().usable_bytes(),
            disk.id == SCRATCH,
        )
    };
    let disks = count.zip(&devices.disks).map(soak).collect();
    let failed = alloc::vec![false; devices.disks.len().saturating_add(devices.cards.len())];
    let pieces = outcome::Work::default();
    let mut work = Work { devices, disks, failed, pieces, random, resets: 0, resizes: 0 };
    work.each(|work, which| {
        let card = which.checked_sub(work.disks.len()).and_then(|card| work.devices.cards.get_mut(card));
        card.map_or(Ok(()), |card| Ok(configure(card, report).map(drop)?))
    });
    report.fact_now(facts::soak::STATE, "disturbed");
    work.go_on(options.serve.unwrap_or(USUAL), true);
    report.fact_now(facts::soak::STATE, "calm");
    work.go_on(CALM, false);
    work.finish(report)
}

impl Work<'_> {
    /// Calls `job` for each device that has not failed.
    fn each(&mut self, mut job: impl FnMut(&mut Self, usize) -> Result<(), TestError>) {
        for which in 0..self.failed.len() {
            if self.works(which) {
                let result = job(self, which);
                self.note(which, result);
            }
        }
    }

    fn works(&self, which: usize) -> bool {
        self.failed.get(which) == Some(&false)
    }

    /// Counts and names a device that has just failed.
    fn note(&mut self, which: usize, result: Result<(), TestError>) {
        if let Err(error) = result {
            if let Some(failed) = self.failed.get_mut(which) {
                *failed = true;
            }
            let name = self.name(which);
            ended(&mut self.pieces, name, Err(error));
        }
    }

    fn name(&self, which: usize) -> String {
        let card = || self.devices.cards.get(which.wrapping_sub(self.devices.disks.len()));
        match (self.devices.disks.get(which), card()) {
            (Some(disk), _) => format!("blk{}", disk.number),
            (None, card) => format!("net{}", card.map_or(0, |card| card.number)),
        }
    }

    /// Works until `wait` has passed, `q` was typed, or all devices have failed. Resets devices if `disturbed`.
    fn go_on(&mut self, wait: Duration, disturbed: bool) {
        let mut deadline = Deadline::after(&Pseries, wait);
        let mut next_reset = self.some_time();
        while !deadline.expired(&Pseries) && self.failed.contains(&false) {
            self.each(Self::step);
            if disturbed && Pseries.now() >= next_reset {
                let which = index(self.random(self.failed.len() as u64));
                if self.works(which) {
                    let result = self.reset(which);
                    self.note(which, result);
                }
                next_reset = self.some_time();
            }
            if console::typed().any(|byte| byte == QUIT) {
                break;
            }
        }
    }

    fn step(&mut self, which: usize) -> Result<(), TestError> {
        let Devices { disks, cards, .. } = &mut *self.devices;
        if let (Some(disk), Some(soak)) = (disks.get_mut(which), self.disks.get_mut(which)) {
            let before = disk.driver.geometry().capacity;
            soak.step(&mut disk.driver)?;
            let changed = disk.driver.geometry().capacity != before;
            self.resizes = self.resizes.saturating_add(changed.into());
        } else if let Some(card) = cards.get_mut(which.wrapping_sub(self.disks.len())) {
            card.stack.poll(&Pseries)?;
        }
        Ok(())
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = splitmix64(self.random);
        (self.random >> 16).checked_rem(below).unwrap_or(0)
    }

    /// A moment within the next [`CALMEST`].
    fn some_time(&mut self) -> u64 {
        let wait = self.random(ticks(&Pseries, CALMEST));
        Pseries.now().saturating_add(wait)
    }

    /// Resets a device in the middle of its work and brings it up again.
    fn reset(&mut self, which: usize) -> Result<(), TestError> {
        self.resets = self.resets.saturating_add(1);
        if let (Some(disk), Some(soak)) = (self.devices.disks.get_mut(which), self.disks.get_mut(which)) {
            disk.driver.break_device(BreakReason::Stopped);
            soak.take(&mut disk.driver)?;
            return Ok(disk.driver.restart()?);
        }
        if let Some(Card { stack, .. }) = self.devices.cards.get_mut(which.wrapping_sub(self.disks.len())) {
            stack.link().restart(entropy::word())?;
        }
        Ok(())
    }

    /// Compares all disks with the sums of what was written, and states the counters.
    fn finish(mut self, report: &mut Report) -> outcome::Work {
        self.each(|work, which| match (work.devices.disks.get_mut(which), work.disks.get_mut(which)) {
            (Some(disk), Some(soak)) => Ok(soak.finish(&mut disk.driver)?),
            _ => Ok(()),
        });
        for which in 0..self.failed.len() {
            if self.works(which) {
                let name = self.name(which);
                ended(&mut self.pieces, name, Ok::<(), TestError>(()));
            }
        }
        let sum = |counter: fn(&Counters) -> u64| -> u64 {
            self.disks.iter().fold(0, |sum, soak| sum.saturating_add(counter(&soak.counters())))
        };
        let [requests, bytes] = [sum(|disk| disk.requests), sum(|disk| disk.bytes)];
        let [refused, lost] = [sum(|disk| disk.refused), sum(|disk| disk.lost)];
        let [discards, zeroes] = [sum(|disk| disk.discards), sum(|disk| disk.zeroes)];
        let undefined = sum(|disk| disk.undefined);
        let links: u64 = self.devices.cards.iter().map(|card| card.stack.counters().link_changes).sum();
        let Self { resets, resizes, .. } = self;
        report.step(
            "soak",
            format_args!(
                "{requests} requests of {} MiB in all, {discards} discards, {zeroes} of zeros; \
                 {resets} resets ended {lost}, {refused} found no room; \
                 {resizes} changes of a capacity, {links} of a link",
                bytes >> 20
            ),
        );
        report.fact(facts::soak::REQUESTS, requests);
        report.fact(facts::soak::DISCARDS, discards);
        report.fact(facts::soak::ZEROES, zeroes);
        report.fact(facts::soak::UNDEFINED, undefined);
        report.fact(facts::soak::RESETS, resets);
        report.fact(facts::soak::LOST, lost);
        report.fact(facts::soak::REFUSED, refused);
        report.fact(facts::soak::RESIZES, resizes);
        report.fact(facts::soak::LINK_CHANGES, links);
        self.pieces
    }
}

/// Drops all devices. Then no byte of the pool may be in use or in quarantine.
fn give_back(devices: &mut Devices, report: &mut Report) -> Result<(), TestError> {
    devices.disks.clear();
    devices.cards.clear();
    let Some(pool) = devices.dma.pool_statistics() else { return Ok(()) };
    report.step(
        "soak",
        format_args!(
            "all devices let go: {} bytes of the pool in use, {} in quarantine, {} mistakes",
            pool.bytes_in_use, pool.bytes_quarantined, pool.mistakes
        ),
    );
    report.fact(facts::soak::POOL_IN_USE, pool.bytes_in_use);
    report.fact(facts::soak::POOL_QUARANTINED, pool.bytes_quarantined);
    if (pool.slots_in_use, pool.bytes_quarantined, pool.mistakes) == (0, 0, 0) {
        Ok(())
    } else {
        Err(TestError::NotGivenBack)
    }
}
