//! One device's interrupt: where it comes from, and whether it is still relied on.

use core::fmt;
use core::sync::atomic::Ordering;
use papr::registers::Register;
use papr::sync::{AtomicBool, AtomicU32};

/// Completions in a row that were there without an interrupt, after which none is waited for any longer.
const MISSED_MOST: u32 = 8;

/// How a device says that it has done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message.
    MsiX,
    /// A level on a pin, taken back when the device's ISR status is read.
    Level,
    /// Not at all: the driver looks.
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

/// An interrupt source and the device it was given to. All of it is private; a device has no say in it.
#[derive(Debug)]
pub struct IrqSource {
    source: u32,
    delivery: Delivery,
    isr: Option<Register>,
    /// Masked at the controller, or proved to be silent.
    given_up: AtomicBool,
    /// Not used for now, by the driver's own wish.
    paused: AtomicBool,
    arrivals: AtomicU32,
    /// The CPU that took the last of them.
    taken_by: AtomicU32,
    missed: AtomicU32,
}

impl IrqSource {
    /// A message source.
    #[must_use]
    pub fn message(source: u32) -> Self {
        Self::new(source, Delivery::MsiX, None)
    }

    /// A level source, taken back by reading the ISR status at `isr`.
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

    /// The ISR status register that takes the level back.
    #[must_use]
    pub const fn isr(&self) -> Option<Register> {
        self.isr
    }

    /// How the device is to be waited for now.
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

    /// Whether it is not used for now, though it could be.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Polls for a while, or does so no longer.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Polls from now on.
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
        // Acquired, as `arrived` releases it: whoever sees the count sees whose it is.
        (self.arrivals.load(Ordering::Acquire) > 0).then(|| self.taken_by.load(Ordering::Relaxed))
    }

    /// The source fired, and CPU `server` took it. Whichever that is, the driver looks at the same queue.
    pub fn arrived(&self, server: u32) {
        self.taken_by.store(server, Ordering::Relaxed);
        self.arrivals.fetch_add(1, Ordering::Release);
        self.missed.store(0, Ordering::Relaxed);
    }

    /// Something was found that an interrupt should have told of, and none did. True when that is once too
    /// often: the device is polled from now on.
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
mod interleavings;
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
