//! Charts of speed as a multiple of bounced Linux: one with all measurements and every target, and one for a slide with
//! only Postern and Linux.

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

/// The systems for comparison, in addition to the two main ones, in the order of the legend.
const CONTEXT: [System; 3] = [System::VirtioDrivers, System::PosternDirect, System::LinuxDirect];

/// The works, from top to bottom: group, row, and label.
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
    /// Works of the same group are drawn together.
    group: &'static str,
    label: &'static str,
    /// Postern bounced.
    postern: f64,
    /// The measured ones of [`CONTEXT`].
    context: Vec<(System, f64)>,
    /// Postern's target.
    wanted: Option<f64>,
}

/// The picture's content.
#[derive(Clone, Debug)]
struct Picture {
    title: String,
    conditions: [String; 2],
    /// The meaning of 1x.
    base: String,
    works: Vec<Work>,
    /// Every missed target, with the measured figure; drawn below the axis.
    missed: Vec<String>,
}

/// The picture with everything, and the one for a slide.
pub const FILES: [&str; 2] = ["benchmarks.svg", "benchmarks-slide.svg"];

/// Draws both charts and returns whether there are any: without Linux there is nothing to compare with.
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

/// The works with only Postern and Linux.
fn alone(works: &[Work]) -> Vec<Work> {
    works.iter().map(|work| Work { context: Vec::new(), wanted: None, ..work.clone() }).collect()
}

/// A line for each missed target.
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

/// The works that were measured with both Postern and Linux.
fn works(results: &Results) -> Vec<Work> {
    // A logarithmic scale has no place for 0.
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
            "Bounced: all data is copied through pages that the hypervisor can read, as in a secure guest."
                .to_owned(),
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

/// Two digits, or the integer part.
fn number(times: f64) -> String {
    match times {
        t if t >= 9.95 => format!("{t:.0}"),
        t if t >= 0.095 => format!("{t:.1}"),
        t => format!("{t:.2}"),
    }
}

impl Work {
    /// Postern's figure, with as many digits as needed to show on which side of the target it is.
    fn reached(&self) -> String {
        let short = number(self.postern);
        let same_side =
            |wanted| short.parse().is_ok_and(|short: f64| (short >= wanted) == (self.postern >= wanted));
        if self.wanted.is_none_or(same_side) { short } else { format!("{:.2}", self.postern) }
    }
}
