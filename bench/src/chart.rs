//! Pictures of how many times faster than bounced Linux: one with all that was measured and every target, one for a
//! slide with Postern and Linux alone.

mod paint;
#[cfg(test)]
mod tests;
mod text;

use crate::machine::Description;
use crate::markdown;
use crate::measure::{NETWORK, START};
use crate::plan::{Backend, Effort, System};
use crate::results::Results;
use crate::targets::{self, Target, Wanted};
use std::io;
use std::path::Path;

/// The systems beside the two that the picture is about, in the order of the legend.
const CONTEXT: [System; 3] = [System::VirtioDrivers, System::PosternDirect, System::LinuxDirect];

/// What is shown, from top to bottom: group, row, and what a viewer reads.
const WORKS: [(&str, &str, &str); 10] = [
    (Backend::Null.name(), "4 KiB random read, depth 1", "4 KiB read, depth 1"),
    (Backend::Null.name(), "4 KiB random read, depth 32", "4 KiB read, depth 32"),
    (Backend::Null.name(), "4 KiB random write, depth 32", "4 KiB write, depth 32"),
    (Backend::Null.name(), "64 KiB read, depth 8", "64 KiB read, depth 8"),
    (Backend::Null.name(), "1 MiB read, depth 8", "1 MiB read, depth 8"),
    (NETWORK, "UDP echo, 64 bytes", "UDP echo, 64 bytes"),
    (NETWORK, "UDP echo, 64 bytes, time of one", "UDP echo, one by one"),
    (NETWORK, "TCP to the guest", "TCP to the guest"),
    (NETWORK, "TCP from the guest", "TCP from the guest"),
    (START, "QEMU start to drivers ready, VOF", "start to drivers ready"),
];

/// One work, as multiples of Linux bounced.
#[derive(Clone, Debug, PartialEq)]
struct Work {
    /// Works of the same group stand together.
    group: &'static str,
    label: &'static str,
    /// Postern bounced.
    postern: f64,
    /// Those of [`CONTEXT`] that were measured.
    context: Vec<(System, f64)>,
    /// What Postern was wanted to reach.
    wanted: Option<f64>,
}

/// What the picture says.
#[derive(Clone, Debug)]
struct Picture {
    title: String,
    conditions: [String; 2],
    /// What one time is.
    base: String,
    works: Vec<Work>,
    /// Every target that is not met, with what was found; these stand below the axis.
    missed: Vec<String>,
}

/// The picture with everything, and the one for a slide.
pub const FILES: [&str; 2] = ["benchmarks.svg", "benchmarks-slide.svg"];

/// Draws both charts, and says whether there are any: without Linux there is nothing to compare with.
pub fn draw(results: &Results, machine: &Description, effort: Effort, folder: &Path) -> io::Result<bool> {
    let Some(svgs) = svgs(results, machine, effort)? else { return Ok(false) };
    for (name, svg) in FILES.iter().zip(svgs) {
        std::fs::write(folder.join(name), svg)?;
    }
    Ok(true)
}

/// Both as SVG.
fn svgs(results: &Results, machine: &Description, effort: Effort) -> io::Result<Option<[String; 2]>> {
    let works = works(results);
    if works.is_empty() {
        return Ok(None);
    }
    let slide = picture(alone(&works), machine, effort);
    let mut whole = picture(works, machine, effort);
    whole.missed = missed(&targets::judge(results, machine));
    let svg = |picture| paint::svg(&picture).map_err(|error| io::Error::other(error.to_string()));
    Ok(Some([svg(whole)?, svg(slide)?]))
}

/// The works with Postern and Linux alone.
fn alone(works: &[Work]) -> Vec<Work> {
    works.iter().map(|work| Work { context: Vec::new(), wanted: None, ..work.clone() }).collect()
}

/// A line for each target that was missed.
fn missed(targets: &[Target]) -> Vec<String> {
    let line = |target: &Target| {
        let found = target.found.filter(|_| target.met() == Some(false))?;
        let wanted = match target.wanted {
            Wanted::AtLeast(least) => format!("at least {}", markdown::round(least)),
            Wanted::AtMost(most) => format!("at most {}", markdown::round(most)),
        };
        Some(format!("{}: {}, wanted {wanted}", target.name, markdown::figure(found)))
    };
    targets.iter().filter_map(line).collect()
}

/// The works for which there are both Postern and Linux.
fn works(results: &Results) -> Vec<Work> {
    // A logarithmic scale has no place for nothing.
    let shown = |times: &f64| times.is_finite() && *times > 0.0;
    let work = |(group, row, label)| {
        let entry = results.find(group, row)?;
        let times = |system| entry.times(system, System::LinuxBounced).filter(shown);
        Some(Work {
            group,
            label,
            postern: times(System::PosternBounced)?,
            context: CONTEXT.into_iter().filter_map(|system| Some((system, times(system)?))).collect(),
            wanted: targets::times_linux(group, row),
        })
    };
    WORKS.into_iter().filter_map(work).collect()
}

fn picture(works: Vec<Work>, machine: &Description, effort: Effort) -> Picture {
    let of = |name| machine.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    let qemu = of("QEMU").split_once("version ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("");
    let linux = of("Linux guest").split('.').take(2).collect::<Vec<_>>().join(".");
    let linux = format!("Linux {linux}").trim_end().to_owned();
    let least = works.iter().map(|work| work.postern).fold(f64::INFINITY, f64::min);
    let most = works.iter().map(|work| work.postern).fold(0.0, f64::max);
    let (least, most) = (number(least), number(most));
    let span = if least == most { most } else { format!("{least} to {most}") };
    let disk =
        if works.iter().any(|work| work.group == Backend::Null.name()) { ", null-co disk" } else { "" };
    Picture {
        title: format!("Every byte bounced: Postern is {span} times as fast as Linux"),
        conditions: [
            "Bounced: copied through pages that the hypervisor can see, as a secure guest has to.".to_owned(),
            format!(
                "QEMU {qemu} (TCG), one CPU{disk}; {linux} with swiotlb=force; medians of {} rounds.",
                effort.rounds
            ),
        ],
        base: format!("{linux}, bounced"),
        works,
        missed: Vec::new(),
    }
}

/// Two digits, or what is before the point.
fn number(times: f64) -> String {
    match times {
        t if t >= 9.95 => format!("{t:.0}"),
        t if t >= 0.095 => format!("{t:.1}"),
        t => format!("{t:.2}"),
    }
}

impl Work {
    /// What Postern reached, with as many digits as it takes to stay on its side of what was wanted.
    fn reached(&self) -> String {
        let short = number(self.postern);
        let same_side =
            |wanted| short.parse().is_ok_and(|short: f64| (short >= wanted) == (self.postern >= wanted));
        if self.wanted.is_none_or(same_side) { short } else { format!("{:.2}", self.postern) }
    }
}
