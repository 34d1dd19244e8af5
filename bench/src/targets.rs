//! What was aimed at, and whether it was reached.

use crate::machine::Description;
use crate::measure::{INSTRUCTIONS, NETWORK, OPENING, START};
use crate::plan::{Backend, System};
use crate::results::Results;

/// A target and what was found.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is about.
    pub name: String,
    /// The figure; none where it could not be measured.
    pub found: Option<f64>,
    /// The figure wanted.
    pub wanted: f64,
    /// Whether the figure must be at least what is wanted, or at most.
    pub at_least: bool,
}

impl Target {
    /// Whether it was reached; unknown without a figure.
    pub fn met(&self) -> Option<bool> {
        self.found.map(|found| if self.at_least { found >= self.wanted } else { found <= self.wanted })
    }
}

/// Judges every target; the size of the image is in the machine's description.
pub fn judge(results: &Results, machine: &Description) -> Vec<Target> {
    let image = machine.iter().find(|(name, _)| *name == "Postern image stripped, bytes");
    let image = image.and_then(|(_, bytes)| bytes.parse::<f64>().ok());
    use System::{LinuxBounced, PosternBounced, PosternDirect, VirtioDrivers};
    let null = Backend::Null.name();
    let times = |group: &str, work: &str, this, base| results.find(group, work)?.times(this, base);
    let median = |group: &str, work: &str| results.find(group, work)?.median(PosternBounced);
    let at_least =
        |name: &str, found, wanted| Target { name: name.to_owned(), found, wanted, at_least: true };
    let at_most =
        |name: &str, found, wanted| Target { name: name.to_owned(), found, wanted, at_least: false };
    let random = "4 KiB random read, depth 32";
    let large = "1 MiB read, depth 8";
    let vof = "QEMU start to drivers ready, VOF";
    let each = format!("{random}, each");
    vec![
        at_least(
            "4 KiB random read, depth 32, bounced: times Linux bounced",
            times(null, random, PosternBounced, LinuxBounced),
            5.0,
        ),
        at_least(
            "4 KiB random read, depth 32, bounced: times virtio-drivers bounced",
            times(null, random, PosternBounced, VirtioDrivers),
            2.0,
        ),
        at_least(
            "4 KiB random read, depth 1, bounced: times Linux bounced",
            times(null, "4 KiB random read, depth 1", PosternBounced, LinuxBounced),
            4.0,
        ),
        at_least(
            "1 MiB read, depth 8, bounced: times Linux bounced",
            times(null, large, PosternBounced, LinuxBounced),
            2.0,
        ),
        at_least(
            "4 KiB random read, depth 32: bounced as a part of direct",
            times(null, random, PosternBounced, PosternDirect),
            0.9,
        ),
        at_least(
            "1 MiB read, depth 8, raw file: bounced as a part of direct",
            times(Backend::Raw.name(), large, PosternBounced, PosternDirect),
            0.6,
        ),
        at_most(
            "guest instructions of a bounced 4 KiB read at depth 32",
            median(INSTRUCTIONS, &each),
            3000.0,
        ),
        at_least(
            "UDP echo of 64 bytes: times Linux bounced",
            times(NETWORK, "UDP echo, 64 bytes", PosternBounced, LinuxBounced),
            5.0,
        ),
        at_least(
            "TCP to the guest: times Linux bounced",
            times(NETWORK, "TCP to the guest", PosternBounced, LinuxBounced),
            1.0,
        ),
        at_least(
            "TCP from the guest: times Linux bounced",
            times(NETWORK, "TCP from the guest", PosternBounced, LinuxBounced),
            1.0,
        ),
        at_most("QEMU start to drivers ready, VOF, seconds", median(START, vof), 0.3),
        at_least(
            "QEMU start to drivers ready, VOF: times faster than Linux bounced",
            times(START, vof, PosternBounced, LinuxBounced),
            12.0,
        ),
        at_most("pool of 8 MiB, 128 frames shared, verified, mapped: ms", median(START, OPENING), 20.0),
        at_most("image without symbols, KiB", image.map(|bytes| bytes / 1024.0), 512.0),
    ]
}
