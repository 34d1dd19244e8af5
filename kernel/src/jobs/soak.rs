//! Random work on all devices at once, which are reset now and then while the host disturbs them in its own ways.
//! At the end every byte is accounted for and everything is given back.

use crate::devices::DeviceError;
use crate::devices::set::{Card, Devices, Disk};
use crate::jobs::blk::{SCRATCH, at_least_one, digest_one, pattern};
use crate::jobs::ended;
use crate::jobs::net::{QUIT, configure};
use crate::platform::pseries::Pseries;
use crate::platform::{console, entropy};
use crate::report::Report;
use alloc::vec::Vec;
use core::time::Duration;
use postern_core::blk::error::BreakReason;
use postern_core::blk::pattern::splitmix64;
use postern_core::blk::soak::Soak;
use postern_core::clock::{Clock, Deadline, ticks};
use postern_core::cmdline::Options;
use postern_core::outcome;
use postern_core::parts::index;

/// How long devices are disturbed without `serve=`.
const USUAL: Duration = Duration::from_secs(180);
/// How long it goes on undisturbed, at most, until somebody types `q`.
const CALM: Duration = Duration::from_secs(120);
/// Longest time between two resets.
const CALMEST: Duration = Duration::from_millis(400);

/// The work on all devices.
struct Work<'a> {
    devices: &'a mut Devices,
    disks: Vec<Soak>,
    random: u64,
    resets: u64,
    resizes: u64,
}

/// Does all of it.
pub fn soak(options: &Options, devices: &mut Devices, report: &mut Report) -> outcome::Work {
    let mut work = outcome::Work::default();
    if devices.disks.is_empty() && devices.cards.is_empty() {
        return at_least_one("disk or network card", work);
    }
    ended(&mut work, "soak", disturb(options, devices, report));
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

fn disturb(options: &Options, devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
    for card in &mut devices.cards {
        configure(card, report)?;
    }
    let (count, random) = (0..devices.disks.len() as u64, options.seed);
    let soak = |(number, disk): (u64, &Disk)| {
        Soak::new(
            splitmix64(random ^ number << 32),
            disk.driver.geometry().usable_bytes(),
            disk.id == SCRATCH,
        )
    };
    let disks = count.zip(&devices.disks).map(soak).collect();
    let mut work = Work { devices, disks, random, resets: 0, resizes: 0 };
    report.fact_now("soak.state", "disturbed");
    work.go_on(options.serve.unwrap_or(USUAL), true)?;
    report.fact_now("soak.state", "calm");
    work.go_on(CALM, false)?;
    work.finish(report)
}

impl Work<'_> {
    /// Works until `wait` has passed or `q` was typed.
    fn go_on(&mut self, wait: Duration, disturbed: bool) -> Result<(), DeviceError> {
        let mut deadline = Deadline::after(&Pseries, wait);
        let mut next_reset = self.some_time();
        while !deadline.expired(&Pseries) {
            for (disk, soak) in self.devices.disks.iter_mut().zip(&mut self.disks) {
                let before = disk.driver.geometry().capacity;
                soak.step(&mut disk.driver)?;
                let changed = disk.driver.geometry().capacity != before;
                self.resizes = self.resizes.saturating_add(changed.into());
            }
            for card in &mut self.devices.cards {
                card.stack.poll(&Pseries)?;
            }
            if disturbed && Pseries.now() >= next_reset {
                self.reset_one()?;
                next_reset = self.some_time();
            }
            if console::typed().any(|byte| byte == QUIT) {
                break;
            }
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
    fn reset_one(&mut self) -> Result<(), DeviceError> {
        let disks = self.devices.disks.len();
        let which = index(self.random(disks.saturating_add(self.devices.cards.len()) as u64));
        self.resets = self.resets.saturating_add(1);
        if let (Some(disk), Some(soak)) = (self.devices.disks.get_mut(which), self.disks.get_mut(which)) {
            disk.driver.break_device(BreakReason::Stopped);
            soak.take(&mut disk.driver)?;
            return Ok(disk.driver.restart()?);
        }
        let card = which.checked_sub(disks);
        if let Some(Card { stack, .. }) = card.and_then(|card| self.devices.cards.get_mut(card)) {
            stack.link().restart(entropy::word())?;
        }
        Ok(())
    }

    /// Compares all disks with what is known of them.
    fn finish(mut self, report: &mut Report) -> Result<(), DeviceError> {
        let (mut requests, mut bytes, mut refused, mut lost) = (0u64, 0u64, 0u64, 0u64);
        for (disk, soak) in self.devices.disks.iter_mut().zip(&mut self.disks) {
            soak.finish(&mut disk.driver)?;
            let counters = soak.counters();
            requests = requests.saturating_add(counters.requests);
            bytes = bytes.saturating_add(counters.bytes);
            refused = refused.saturating_add(counters.refused);
            lost = lost.saturating_add(counters.lost);
        }
        let links: u64 = self.devices.cards.iter().map(|card| card.stack.counters().link_changes).sum();
        let Self { resets, resizes, .. } = self;
        report.step(
            "soak",
            format_args!(
                "{requests} requests of {} MiB in all; {resets} resets ended {lost}, {refused} found no room; \
                 {resizes} changes of a capacity, {links} of a link",
                bytes >> 20
            ),
        );
        report.fact("soak.requests", requests);
        report.fact("soak.resets", resets);
        report.fact("soak.lost", lost);
        report.fact("soak.refused", refused);
        report.fact("soak.resizes", resizes);
        report.fact("soak.link_changes", links);
        Ok(())
    }
}

/// Lets all devices go: then nothing of the pool is in use, and nothing waits for a device.
fn give_back(devices: &mut Devices, report: &mut Report) -> Result<(), DeviceError> {
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
    report.fact("soak.pool_in_use", pool.bytes_in_use);
    report.fact("soak.pool_quarantined", pool.bytes_quarantined);
    if (pool.slots_in_use, pool.bytes_quarantined, pool.mistakes) == (0, 0, 0) {
        Ok(())
    } else {
        Err(DeviceError::NotGivenBack)
    }
}
