//! One device's interrupt source, and whether the driver still relies on it.

use core::fmt;
use core::sync::atomic::Ordering;
use papr::registers::Register;
use papr::sync::{AtomicBool, AtomicU32};

/// Completions in a row without their interrupt after which the driver only polls.
const MISSED_MOST: u32 = 8;

/// How a device signals a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// By a message.
    MsiX,
    /// By a level on a pin, which a read of the device's ISR status clears.
    Level,
    /// Not at all: the driver polls.
    Poll,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MsiX => "msi-x",
            Self::Level => "lsi",
            Self::Poll => "poll",
        })
    }
}

/// An interrupt source of one device. All of it is in private memory.
#[derive(Debug)]
pub struct IrqSource {
    source: u32,
    delivery: Delivery,
    isr: Option<Register>,
    /// Masked at the controller, or found to be silent.
    given_up: AtomicBool,
    /// Not used for now, at the driver's request.
    paused: AtomicBool,
    arrivals: AtomicU32,
    /// The CPU that took the last interrupt.
    taken_by: AtomicU32,
    missed: AtomicU32,
}

impl IrqSource {
    /// A message source.
    #[must_use]
    pub fn message(source: u32) -> Self {
        Self::new(source, Delivery::MsiX, None)
    }

    /// A level source, cleared by a read of the ISR status at `isr`.
    #[must_use]
    pub fn level(source: u32, isr: Register) -> Self {
        Self::new(source, Delivery::Level, Some(isr))
    }

    fn new(source: u32, delivery: Delivery, isr: Option<Register>) -> Self {
        Self {
            source,
            delivery,
            isr,
            given_up: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            arrivals: AtomicU32::new(0),
            taken_by: AtomicU32::new(0),
            missed: AtomicU32::new(0),
        }
    }

    /// The source's number at the controller.
    #[must_use]
    pub const fn source(&self) -> u32 {
        self.source
    }

    /// The ISR status register, whose read clears the level.
    #[must_use]
    pub const fn isr(&self) -> Option<Register> {
        self.isr
    }

    /// How to wait for the device now.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let off = self.given_up.load(Ordering::Relaxed) || self.paused.load(Ordering::Relaxed);
        if off { Delivery::Poll } else { self.delivery }
    }

    /// Whether the source is not used any longer.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Whether the source is paused: usable, but not used for now.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Starts or ends a pause, in which the device is polled.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Gives the source up: the device is polled from now on.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// How often the source has fired.
    #[must_use]
    pub fn arrivals(&self) -> u32 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// The CPU, by its server number, that took the last interrupt, if there was one.
    #[must_use]
    pub fn taken_by(&self) -> Option<u32> {
        // Acquires what `arrived` releases: a reader that sees the count sees its CPU.
        (self.arrivals.load(Ordering::Acquire) > 0).then(|| self.taken_by.load(Ordering::Relaxed))
    }

    /// Records that the source fired and CPU `server` took the interrupt. Any CPU may take it: the driver polls the
    /// same queue.
    pub fn arrived(&self, server: u32) {
        self.taken_by.store(server, Ordering::Relaxed);
        self.arrivals.fetch_add(1, Ordering::Release);
        self.missed.store(0, Ordering::Relaxed);
    }

    /// Records a completion without its interrupt. True if this was the last miss that is tolerated: the device is
    /// polled from now on.
    pub fn missed(&self) -> bool {
        let count = self.missed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let enough = count >= MISSED_MOST && self.delivery() != Delivery::Poll;
        if enough {
            self.give_up();
        }
        enough
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use papr::addr::Gpa;
    use papr::platform::Width;

    use testkit::unchecked::registers;

    #[test]
    fn silent_source_is_polled_after_eight_misses_in_a_row() {
        let line = IrqSource::message(0x1300);
        for _ in 0..7 {
            assert!(!line.missed());
        }
        assert_eq!(line.delivery(), Delivery::MsiX);
        assert!(line.missed(), "said once");
        assert_eq!(line.delivery(), Delivery::Poll);
        assert!(!line.missed(), "and not again");
    }

    #[test]
    fn source_that_fires_now_and_then_is_kept() {
        let isr = registers(Gpa(0x1000), 1).register(0, Width::W8);
        let line = IrqSource::level(0x1200, isr.unwrap());
        for _ in 0..100 {
            for _ in 0..7 {
                assert!(!line.missed());
            }
            line.arrived(0);
        }
        assert_eq!(line.delivery(), Delivery::Level);
    }

    #[test]
    fn pause_ends_and_giving_up_does_not() {
        let line = IrqSource::message(1);
        line.pause(true);
        assert_eq!(line.delivery(), Delivery::Poll);
        line.pause(false);
        assert_eq!(line.delivery(), Delivery::MsiX);
        line.give_up();
        line.pause(false);
        assert_eq!(line.delivery(), Delivery::Poll);
    }
}
