//! Two images side by side: what a change of this kernel is worth, whatever else the machine does meanwhile.

use crate::guest::{Guest, GuestError, Parts, Shape};
use crate::network;
use crate::plan::{Backend, DISK, Group, System};
use crate::statistics::{Samples, ratio};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const MILLISECONDS: u32 = 300;
const NETWORK: Duration = Duration::from_millis(700);

/// Measures both images in turn, bounced, and prints medians and the second one's times the first's: everything, or
/// the groups that are asked for.
pub fn run(parts: &Parts, images: [PathBuf; 2], rounds: usize, only: &[Group]) -> Result<(), GuestError> {
    let wanted = |group| only.is_empty() || only.contains(&group);
    let mut rows: BTreeMap<String, [Samples; 2]> = BTreeMap::new();
    for _ in 0..rounds {
        for (which, image) in images.iter().enumerate() {
            let parts = Parts { kernel: image.clone(), linux: None, ..parts.clone() };
            let mut add = |name: String, figure| rows.entry(name).or_default()[which].0.push(figure);
            if wanted(Group::Instructions) {
                instructions(&parts, &mut add)?;
            }
            if wanted(Group::Disk) {
                disk(&parts, &mut add)?;
            }
            if wanted(Group::Network) {
                net(&parts, &mut add)?;
            }
            if wanted(Group::Start) {
                start(&parts, &mut add)?;
            }
        }
    }
    for (name, [first, second]) in &rows {
        let (Some(a), Some(b), Some(times)) = (first.median(), second.median(), ratio(second, first)) else {
            continue;
        };
        println!("{name:48} {a:12.1} {b:12.1} {times:8.3}");
    }
    Ok(())
}

fn disk(parts: &Parts, add: &mut impl FnMut(String, f64)) -> Result<(), GuestError> {
    let specs: Vec<_> = DISK.iter().map(|work| format!("{}:{MILLISECONDS}", work.spec)).collect();
    let words = format!("run=bench-blk bench={}", specs.join(","));
    let shape = Shape::disk(System::PosternBounced, Backend::Null, words);
    let Some(guest) = Guest::start(parts, &shape)? else { return Ok(()) };
    add("start, s".to_owned(), guest.until("postern: bench.ready=")?.as_secs_f64());
    let report = guest.finish()?;
    for (number, work) in DISK.iter().enumerate() {
        if let Some(iops) = report.number(&format!("bench.{number}.iops")) {
            add(format!("{}, IOPS", work.name), iops as f64);
        }
    }
    Ok(())
}

fn net(parts: &Parts, add: &mut impl FnMut(String, f64)) -> Result<(), GuestError> {
    let Some(mut guest) = Guest::start(parts, &Shape::network(System::PosternBounced))? else {
        return Ok(());
    };
    guest.until("postern: net0.serve=ready")?;
    let ports = guest.ports()?;
    let figures = network::all(ports.udp, ports.tcp, NETWORK).map_err(GuestError::Exchange)?;
    guest.quit();
    guest.finish()?;
    add("UDP echo, 64 bytes, packets/s".to_owned(), figures.small);
    add("UDP echo, 1400 bytes, packets/s".to_owned(), figures.large);
    add("UDP echo, time of one, us".to_owned(), figures.round_trip);
    add("TCP echo, MB/s".to_owned(), figures.stream);
    Ok(())
}

/// The start with pools of several sizes: from QEMU's start, and what the guest says that its pool took, in time
/// and in instructions.
fn start(parts: &Parts, add: &mut impl FnMut(String, f64)) -> Result<(), GuestError> {
    for pool in ["8M", "64M", "256M"] {
        for counted in [false, true] {
            let words = format!("pool={pool} run=bench-blk bench=read:4096:1:seq:1");
            let shape = Shape { counted, ..Shape::disk(System::PosternBounced, Backend::Null, words) };
            let Some(guest) = Guest::start(parts, &shape)? else { return Ok(()) };
            let ready = guest.until("postern: bench.ready=")?;
            let report = guest.finish()?;
            // Of a counted guest a microsecond is a thousand instructions.
            let unit = if counted { "thousand instructions" } else { "us" };
            for fact in ["pool.share_us", "tce.map_us"] {
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

fn instructions(parts: &Parts, add: &mut impl FnMut(String, f64)) -> Result<(), GuestError> {
    let mut results = crate::results::Results::default();
    crate::measure::instructions(parts, System::PosternBounced, &mut results)?;
    for entry in &results.entries {
        if let Some(figure) = entry.median(System::PosternBounced) {
            add(format!("{}, instructions", entry.row.name), figure);
        }
    }
    Ok(())
}
