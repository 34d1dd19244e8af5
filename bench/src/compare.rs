//! Compares two images in alternating rounds, so that other load of the machine affects both.

use crate::guest::{Guest, GuestConfig, GuestError, Parts};
use crate::measure;
use crate::packets;
use crate::plan::{Backend, Effort, Group, System};
use crate::results::Results;
use crate::statistics::{Samples, ratio};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How thorough one turn is.
const EFFORT: Effort = Effort { rounds: 1, milliseconds: 300, network_seconds: 0.7 };

/// Measures both images in turn, bounced, and prints the medians and the second image's multiple of the first: all groups,
/// or those in `only`.
pub fn run(parts: &Parts, images: [PathBuf; 2], rounds: usize, only: &[Group]) -> Result<(), GuestError> {
    let wanted = |group| only.is_empty() || only.contains(&group);
    let mut rows: BTreeMap<String, [Samples; 2]> = BTreeMap::new();
    for _ in 0..rounds {
        for (which, image) in images.iter().enumerate() {
            let parts = Parts { kernel: image.clone(), linux: None, ..parts.clone() };
            let mut add = |name: String, figure| rows.entry(name).or_default()[which].0.push(figure);
            as_reported(&parts, wanted, &mut add)?;
            if wanted(Group::Start) {
                start(&parts, &mut add)?;
            }
        }
    }
    for (name, [first, second]) in &rows {
        let (Some(a), Some(b), Some(times)) = (first.median(), second.median(), ratio(second, first)) else {
            continue;
        };
        println!("{name:56} {a:12.1} {b:12.1} {times:8.3}");
    }
    Ok(())
}

/// The measurements of `make bench`, with the same names.
fn as_reported(
    parts: &Parts,
    wanted: impl Fn(Group) -> bool,
    add: &mut impl FnMut(String, f64),
) -> Result<(), GuestError> {
    let system = System::PosternBounced;
    let mut results = Results::default();
    if wanted(Group::Instructions) {
        measure::instructions(parts, system, &mut results)?;
        packets::instructions(parts, system, EFFORT, &mut results)?;
    }
    if wanted(Group::Disk) {
        measure::disk(parts, EFFORT, system, Backend::Null, &mut results)?;
    }
    if wanted(Group::Network) {
        measure::net(parts, EFFORT, system, &mut results)?;
    }
    for entry in &results.entries {
        if let Some(figure) = entry.median(system) {
            add(format!("{}, {}", entry.row.name, entry.row.unit), figure);
        }
    }
    Ok(())
}

/// The start with pools of several sizes: the time from QEMU's start, and the time and instructions that the guest states
/// for its pool.
fn start(parts: &Parts, add: &mut impl FnMut(String, f64)) -> Result<(), GuestError> {
    for pool in ["8M", "64M", "256M"] {
        for counted in [false, true] {
            let words = format!("pool={pool} run=bench-blk bench=read:4096:1:seq:1");
            let config =
                GuestConfig { counted, ..GuestConfig::disk(System::PosternBounced, Backend::Null, words) };
            let Some(guest) = Guest::start(parts, &config)? else { return Ok(()) };
            let ready = guest.until("postern: bench.ready=")?;
            let report = guest.finish()?;
            // With counted instructions a microsecond is a thousand instructions.
            let unit = if counted { "thousand instructions" } else { "us" };
            for fact in ["pool.share_us", "tce0.map_us"] {
                if let Some(figure) = report.number(fact) {
                    add(format!("pool={pool}, {fact}, {unit}"), figure as f64);
                }
            }
            if !counted {
                add(format!("pool={pool}, start, us"), ready.as_secs_f64() * 1e6);
            }
        }
    }
    Ok(())
}
