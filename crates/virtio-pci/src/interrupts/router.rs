//! Handles each interrupt: accepts it, counts it for its source, or masks the source.

use crate::interrupts::irq_source::IrqSource;
use crate::interrupts::xirr::{Arrival, Xirr};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use papr::clock::{Clock, ticks};
use papr::hcall::calls;
use papr::platform::{Hypervisor, Rtas};
use papr::registers::Mmio;
use papr::rtas::{RtasError, Service, xics_number};

/// Most interrupts that one call takes; more wait for the next call.
const AT_ONCE: u32 = 64;
/// Interrupts of one source within a [`TICK`] that make a storm: far more than a queue needs, which enables one at a
/// time.
const STORM: u32 = 4096;
/// Interrupts of one source within a tick up to which each is taken alone.
const RARE: u32 = 64;
/// Period over which a storm is counted.
const TICK: Duration = Duration::from_millis(100);
/// Interrupts of masked or unknown sources after which no more interrupts are taken.
const STRAY_MOST: u64 = 65_536;
/// The priority of every source (PAPR+ 14.5.4.4).
const PRIORITY: u32 = 5;
/// H_CPPR: the value that masks nothing, and the value that masks everything.
const OPEN: u8 = 0xff;
const CLOSED: u8 = 0;
/// H_IPI: no request.
const NO_REQUEST: u8 = 0xff;
/// Unknown sources that are logged one by one.
const LOGGED: u64 = 4;

/// Interrupts counted since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Interrupts of devices.
    pub taken: u64,
    /// Interrupts from other CPUs.
    pub ipis: u64,
    /// Interrupts of unknown sources; each source was masked.
    pub unknown: u64,
    /// Interrupts of sources that had been masked.
    pub masked: u64,
    /// Sources masked for firing too often.
    pub storms: u64,
    /// Polls of the controller that found nothing.
    pub spurious: u64,
}

struct Registered {
    line: Arc<IrqSource>,
    in_tick: u32,
}

/// Which source belongs to which device: one table for the machine, whichever CPU a source is routed to.
#[derive(Default)]
pub struct Router {
    registered: Vec<Registered>,
    tick_ends: u64,
    statistics: Statistics,
    closed: bool,
}

impl Router {
    /// No sources yet.
    #[must_use]
    pub const fn new() -> Self {
        let statistics = Statistics { taken: 0, ipis: 0, unknown: 0, masked: 0, storms: 0, spurious: 0 };
        Self { registered: Vec::new(), tick_ends: 0, statistics, closed: false }
    }

    /// The counts so far.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Routes the source to CPU `server` and unmasks it.
    ///
    /// # Errors
    /// The controller refuses the source; the device must be polled.
    pub fn register(
        &mut self,
        machine: &impl Rtas,
        line: Arc<IrqSource>,
        server: u32,
    ) -> Result<(), RtasError> {
        let args = [xics_number(line.source())?, xics_number(server)?, PRIORITY];
        machine.rtas(Service::SetXive, &args, &mut [])?;
        self.registered.push(Registered { line, in_tick: 0 });
        Ok(())
    }

    /// Takes all pending interrupts of CPU `server`, up to a bound, with interrupts disabled. Returns their number.
    pub fn service<M: Hypervisor + Rtas + Mmio + Clock>(&mut self, machine: &M, server: u32) -> u32 {
        self.turn_tick(machine);
        for count in 0..AT_ONCE {
            let mut alone = false;
            let Ok(output) = calls::xirr(machine) else { return count };
            let xirr = Xirr::new(output);
            match xirr.arrival() {
                Arrival::Nothing => {
                    if count == 0 {
                        bump(&mut self.statistics.spurious);
                    }
                    return count;
                }
                Arrival::Ipi => {
                    bump(&mut self.statistics.ipis);
                    // An error here does not matter: H_EOI below ends the interrupt.
                    let _ = calls::ipi(machine, server, NO_REQUEST);
                }
                Arrival::Source(source) => alone = self.arrived(machine, source, server),
            }
            // An error here does not matter: nothing else ends the interrupt.
            let _ = calls::eoi(machine, xirr.end(if self.closed { CLOSED } else { OPEN }));
            if alone {
                return count.saturating_add(1);
            }
        }
        AT_ONCE
    }

    /// Unmasks interrupts of the calling CPU at the controller. False if the hypervisor refuses.
    pub fn open(machine: &impl Hypervisor) -> bool {
        calls::cppr(machine, OPEN).is_ok()
    }

    fn turn_tick(&mut self, clock: &impl Clock) {
        let now = clock.now();
        if now >= self.tick_ends {
            self.tick_ends = now.saturating_add(ticks(clock, TICK));
            for registered in &mut self.registered {
                registered.in_tick = 0;
            }
        }
    }

    /// Handles one interrupt. True if a hypercall to ask for another one does not pay: one that is pending ends the
    /// next sleep at once.
    fn arrived<M: Hypervisor + Rtas + Mmio>(&mut self, machine: &M, source: u32, server: u32) -> bool {
        let (mut known, mut storm, mut relied_on, mut most) = (false, false, false, 0);
        // Devices may share a level source; all of them are asked.
        for registered in self.registered.iter_mut().filter(|one| one.line.source() == source) {
            known = true;
            relied_on |= !registered.line.is_given_up();
            registered.line.arrived(server);
            registered.in_tick = registered.in_tick.saturating_add(1);
            storm |= registered.in_tick == STORM;
            most = registered.in_tick.max(most);
            if let Some(isr) = registered.line.isr() {
                // The read clears the level; the value is not needed.
                let _ = machine.load(isr);
            }
        }
        let count = match (known, relied_on) {
            (false, _) => &mut self.statistics.unknown,
            (true, false) => &mut self.statistics.masked,
            (true, true) => &mut self.statistics.taken,
        };
        bump(count);
        if !known {
            if self.statistics.unknown <= LOGGED {
                log::warn!("interrupts: source {source:#x} is nobody's: masked");
            }
            mask(machine, source);
        } else if storm && relied_on {
            log::warn!(
                "interrupts: source {source:#x} fired {STORM} times within {TICK:?}: masked, its devices are polled"
            );
            bump(&mut self.statistics.storms);
            mask(machine, source);
            for registered in self.registered.iter().filter(|one| one.line.source() == source) {
                registered.line.give_up();
            }
        }
        self.close_if_hopeless(machine);
        known && relied_on && most <= RARE
    }

    /// Ignores a controller that does not mask the sources that it was told to mask.
    fn close_if_hopeless(&mut self, machine: &impl Hypervisor) {
        let stray = self.statistics.unknown.saturating_add(self.statistics.masked);
        if self.closed || stray < STRAY_MOST {
            return;
        }
        self.closed = true;
        log::error!("interrupts: {stray} from masked and unknown sources: all devices are polled");
        let _ = calls::cppr(machine, CLOSED);
        for registered in &self.registered {
            registered.line.give_up();
        }
    }
}

fn bump(count: &mut u64) {
    *count = count.saturating_add(1);
}

/// Best effort: the statistics show a source that still fires.
fn mask(machine: &impl Rtas, source: u32) {
    if let Err(error) = machine.rtas(Service::InterruptOff, &[source], &mut []) {
        log::debug!("interrupts: source {source:#x} cannot be masked: {error}");
    }
}

#[cfg(test)]
mod tests;
