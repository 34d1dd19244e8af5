//! What the pages show, as plain data.

use core::fmt;
use core::time::Duration;

/// Everything that the pages show.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// The image's name.
    pub image: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What kind of guest it is.
    pub mode: &'a str,
    /// Time since the kernel's entry.
    pub up: Duration,
    /// Counters, by topic.
    pub groups: &'a [Group<'a>],
    /// What the run has stated so far; each key once.
    pub facts: &'a [Fact<'a>],
}

/// Counters of one topic.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// The topic.
    pub title: &'static str,
    /// The device that they are of.
    pub device: Option<Device>,
    /// The counters.
    pub rows: &'a [Row],
}

/// A device by kind and number, such as `blk0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The kind, in lower-case letters.
    pub kind: &'static str,
    /// The number among those of its kind.
    pub number: usize,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, self.number)
    }
}

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name for Prometheus.
    pub name: &'static str,
    /// Its name for a person: the help of Prometheus.
    pub label: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// How many now.
    pub value: u64,
    /// How many there can be, where there is a limit: the page draws the part.
    pub of: Option<u64>,
}

/// Whether a value only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds; told in seconds.
    Milliseconds,
}

/// A fact of the run.
#[derive(Clone, Copy)]
pub struct Fact<'a> {
    /// Its key.
    pub key: &'a dyn fmt::Display,
    /// Its value.
    pub value: &'a str,
}

impl fmt::Debug for Fact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// A value as text: seconds with three decimals, others as they are.
pub(crate) struct Plain(pub Unit, pub u64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unit::Milliseconds => write!(f, "{}.{:03}", self.1 / 1000, self.1 % 1000),
            Unit::Count | Unit::Bytes => write!(f, "{}", self.1),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Device, Fact, Group, Kind, Row, Status, Unit};
    use core::time::Duration;

    pub const NASTY: &str = "a\"b\\c<script>&'\u{1}\n";

    /// A status with a bit of everything, for tests of the pages.
    pub fn example(look: impl FnOnce(&Status<'_>)) {
        let row = |name, label, unit, value| Row { name, label, kind: Kind::Counter, unit, value, of: None };
        let pool = [Row {
            name: "postern_pool_bytes_in_use",
            label: "in use",
            kind: Kind::Gauge,
            unit: Unit::Bytes,
            value: 1_048_576,
            of: Some(8 << 20),
        }];
        let calls = [
            row("postern_ultracalls_total", "ultracalls", Unit::Count, u64::MAX),
            row("postern_idle_seconds_total", "idle", Unit::Milliseconds, 12_034),
        ];
        let ring = |value| [row("postern_device_interrupts_total", "interrupts", Unit::Count, value)];
        let (disk0, disk1) = (ring(3), ring(4));
        let disk = |number, rows| Group { title: "Disk", device: Some(Device { kind: "blk", number }), rows };
        look(&Status {
            image: "postern",
            version: "0.1.0",
            mode: "normal",
            up: Duration::from_millis(61_500),
            groups: &[
                Group { title: "Pool", device: None, rows: &pool },
                disk(0, &disk0),
                Group { title: "Calls", device: None, rows: &calls },
                disk(1, &disk1),
            ],
            facts: &[Fact { key: &"mode", value: "normal" }, Fact { key: &"blk0.id", value: NASTY }],
        });
    }
}
