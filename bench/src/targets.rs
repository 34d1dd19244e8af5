//! The targets, and whether they are met.

use crate::machine::Description;
use crate::measure::{INSTRUCTIONS, NETWORK, OPENING, START};
use crate::plan::{Backend, System};
use crate::results::Results;
use crate::scaling::POOL;
use System::{LinuxBounced, PosternBounced, PosternDirect, PrivateCopy, VirtioDrivers};
use Wanted::{AtLeast, AtMost};

/// A bound, in the unit of the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// The figure that is judged.
#[derive(Clone, Copy, Debug)]
pub enum Judged {
    /// How many times better the first system is than the second, in the row of this group and name.
    Times(&'static str, &'static str, System, System),
    /// The median of one system in the row of this group and name.
    Median(&'static str, &'static str, System),
    /// KiB of the image without symbols.
    Image,
}

/// Every target.
const TARGETS: [(&str, Judged, Wanted); 19] = [
    (
        "4 KiB random read, depth 32, bounced: times Linux bounced",
        Judged::Times(NULL, "4 KiB random read, depth 32", PosternBounced, LinuxBounced),
        AtLeast(5.0),
    ),
    (
        "4 KiB random read, depth 32, bounced: times virtio-drivers bounced",
        Judged::Times(NULL, "4 KiB random read, depth 32", PosternBounced, VirtioDrivers),
        AtLeast(2.0),
    ),
    (
        "4 KiB random read, depth 1, bounced: times Linux bounced",
        Judged::Times(NULL, "4 KiB random read, depth 1", PosternBounced, LinuxBounced),
        AtLeast(4.0),
    ),
    (
        "1 MiB read, depth 8, bounced: times Linux bounced",
        Judged::Times(NULL, "1 MiB read, depth 8", PosternBounced, LinuxBounced),
        AtLeast(2.0),
    ),
    (
        "64 KiB read, depth 8, bounced: fraction of a private copy",
        Judged::Times(NULL, "64 KiB read, depth 8", PosternBounced, PrivateCopy),
        AtLeast(0.9),
    ),
    (
        "1 MiB read, depth 8, bounced: fraction of a private copy",
        Judged::Times(NULL, "1 MiB read, depth 8", PosternBounced, PrivateCopy),
        AtLeast(0.9),
    ),
    (
        "1 MiB read, depth 8, raw file: bounced as a fraction of direct",
        Judged::Times(Backend::Raw.name(), "1 MiB read, depth 8", PosternBounced, PosternDirect),
        AtLeast(0.6),
    ),
    (
        "guest instructions of a bounced 4 KiB read at depth 32",
        Judged::Median(INSTRUCTIONS, "4 KiB random read, depth 32, each", PosternBounced),
        AtMost(1700.0),
    ),
    (
        "guest instructions of a direct 4 KiB read at depth 32",
        Judged::Median(INSTRUCTIONS, "4 KiB random read, depth 32, each", PosternDirect),
        AtMost(1050.0),
    ),
    (
        "guest instructions of a bounced UDP echo of 64 bytes, 32 in flight",
        Judged::Median(INSTRUCTIONS, "UDP echo, 64 bytes, 32 in flight, each", PosternBounced),
        AtMost(4500.0),
    ),
    (
        "guest instructions of a bounced TCP segment to the guest",
        Judged::Median(INSTRUCTIONS, "TCP to the guest, each 1460 bytes", PosternBounced),
        AtMost(3500.0),
    ),
    (
        "UDP echo of 64 bytes: times Linux bounced",
        Judged::Times(NETWORK, "UDP echo, 64 bytes", PosternBounced, LinuxBounced),
        AtLeast(5.0),
    ),
    (
        "TCP to the guest: times Linux bounced",
        Judged::Times(NETWORK, "TCP to the guest", PosternBounced, LinuxBounced),
        AtLeast(1.0),
    ),
    (
        "TCP from the guest: times Linux bounced",
        Judged::Times(NETWORK, "TCP from the guest", PosternBounced, LinuxBounced),
        AtLeast(1.0),
    ),
    ("QEMU start to drivers ready, VOF, seconds", Judged::Median(START, VOF, PosternBounced), AtMost(0.3)),
    (
        "QEMU start to drivers ready, VOF: times faster than Linux bounced",
        Judged::Times(START, VOF, PosternBounced, LinuxBounced),
        AtLeast(12.0),
    ),
    (
        "pool of 8 MiB, 128 frames shared, verified, mapped: ms",
        Judged::Median(START, OPENING, PosternBounced),
        AtMost(12.0),
    ),
    (
        "pool of 256 MiB shared, verified, mapped: ms",
        Judged::Median(POOL, "pool of 256 MiB: shared, verified, mapped", PosternBounced),
        AtMost(250.0),
    ),
    ("image without symbols, KiB", Judged::Image, AtMost(512.0)),
];

const NULL: &str = Backend::Null.name();
const VOF: &str = "QEMU start to drivers ready, VOF";

/// A target and its measured figure.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// The judged quantity.
    pub judged: Judged,
    /// The measured figure; `None` if it could not be measured.
    pub found: Option<f64>,
    /// The target's bound.
    pub wanted: Wanted,
}

impl Target {
    /// Whether it is met; `None` without a figure.
    pub fn met(&self) -> Option<bool> {
        self.found.map(|found| match self.wanted {
            AtLeast(least) => found >= least,
            AtMost(most) => found <= most,
        })
    }
}

/// Judges every target; the size of the image is in the machine's description.
pub fn judge(results: &Results, machine: &Description) -> Vec<Target> {
    let found = |judged| match judged {
        Judged::Times(group, row, this, base) => results.find(group, row)?.times(this, base),
        Judged::Median(group, row, system) => results.find(group, row)?.median(system),
        Judged::Image => {
            let (_, bytes) = machine.iter().find(|(name, _)| *name == "Postern image stripped, bytes")?;
            Some(bytes.parse::<f64>().ok()? / 1024.0)
        }
    };
    TARGETS
        .into_iter()
        .map(|(name, judged, wanted)| Target { name, judged, found: found(judged), wanted })
        .collect()
}

/// The target for Postern's multiple of bounced Linux in this row, if there is one.
pub fn times_linux(group: &str, row: &str) -> Option<f64> {
    TARGETS.into_iter().find_map(|(_, judged, wanted)| match (judged, wanted) {
        (Judged::Times(g, r, PosternBounced, LinuxBounced), AtLeast(least)) if (g, r) == (group, row) => {
            Some(least)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::results::Row;

    #[test]
    fn every_target_is_about_something_that_is_measured() {
        let (results, machine, _) = json::read(include_str!("../../docs/benchmarks.json")).unwrap();
        for (name, judged, _) in TARGETS {
            match judged {
                Judged::Times(group, row, ..) | Judged::Median(group, row, _) => {
                    assert!(results.find(group, row).is_some(), "{name}: {group}, {row}");
                }
                Judged::Image => {
                    let image = judge(&results, &machine).into_iter().find(|target| target.name == name);
                    assert!(image.unwrap().found.is_some_and(|kib| kib > 100.0));
                }
            }
        }
    }

    #[test]
    fn a_target_is_met_from_its_figure_on() {
        let row = Row { group: START.into(), name: VOF.into(), unit: "s", more_is_better: false };
        for (seconds, at_most, at_least) in [(0.25, true, true), (0.3, true, false), (0.5, false, false)] {
            let mut results = Results::default();
            results.add(&row, PosternBounced, seconds);
            results.add(&row, LinuxBounced, 3.0);
            let judged = judge(&results, &Description::new());
            let met: Vec<_> = judged.iter().filter_map(Target::met).collect();
            assert_eq!(met, [at_most, at_least], "{seconds} s");
        }
        assert_eq!((times_linux(START, VOF), times_linux(NULL, VOF)), (Some(12.0), None));
    }
}
