//! How Postern scales: throughput by depth, by size of requests, by size of the pool and by CPUs.

use crate::guest::{Guest, GuestConfig, GuestError, Parts};
use crate::measure::{opened_in, words};
use crate::plan::{Backend, Effort, System, said};
use crate::results::{Results, Row};
use postern_harness::guest::report::Report;

/// The groups of rows.
pub const DEPTH: &str = "scaling by depth";
/// By bytes of a request.
pub const SIZE: &str = "scaling by size";
/// By MiB of the pool.
pub const POOL: &str = "scaling by pool";
/// By CPUs, each with a queue of its own.
pub const CPUS: &str = "scaling by CPUs";

/// The works in the form of `bench=`, without the time.
const DEPTHS: [&str; 9] = [
    "read:4096:1:random",
    "read:4096:2:random",
    "read:4096:4:random",
    "read:4096:8:random",
    "read:4096:16:random",
    "read:4096:32:random",
    "read:4096:64:random",
    "read:4096:128:random",
    "read:4096:256:random",
];
const SIZES: [&str; 9] = [
    "read:512:8:seq",
    "read:2048:8:seq",
    "read:8192:8:seq",
    "read:16384:8:seq",
    "read:65536:8:seq",
    "read:262144:8:seq",
    "read:524288:8:seq",
    "read:1048576:8:seq",
    "read:4194304:1:seq",
];
/// The works of every guest, whatever its pool and its CPUs.
const EVERYWHERE: [&str; 2] = ["read:4096:32:random", "read:65536:8:seq"];

/// Queue size of the guest that does all works: a request takes three descriptors.
const QUEUE: u16 = 1024;
/// MiB of the pool and number of CPUs of the guest that does all works.
const USUAL: (u32, u32) = (64, 1);
const GUESTS: [(u32, u32); 7] = [(1, 1), (4, 1), (16, 1), USUAL, (256, 1), (USUAL.0, 2), (USUAL.0, 4)];

/// Measures one of Postern's systems in all its guests.
pub fn measure(
    parts: &Parts,
    effort: Effort,
    system: System,
    results: &mut Results,
) -> Result<(), GuestError> {
    let time = effort.milliseconds / 2;
    for (pool, cpus) in GUESTS {
        let bounced = system.is_bounced();
        // An ordinary guest has no pool.
        if !bounced && pool != USUAL.0 {
            continue;
        }
        let all = DEPTHS.into_iter().chain(SIZES);
        let specs: Vec<_> = all.filter(|spec| (pool, cpus) == USUAL || EVERYWHERE.contains(spec)).collect();
        let shared = if bounced { format!("pool={pool}M ") } else { String::new() };
        let job = if cpus > 1 { "bench-smp" } else { "bench-blk" };
        let words = shared + &words(job, specs.iter().map(|spec| format!("{spec}:{time}")));
        let queue = ((pool, cpus) == USUAL).then_some(QUEUE);
        let config = GuestConfig { smp: cpus, queue, ..GuestConfig::disk(system, Backend::Null, words) };
        let Some(guest) = Guest::start(parts, &config)? else { return Ok(()) };
        let report = guest.finish()?;
        if let (true, 1, Some(took)) = (bounced, cpus, opened_in(&report)) {
            let name = format!("pool of {pool} MiB: shared, verified, mapped");
            let row = Row { group: POOL.to_owned(), name, unit: "ms", more_is_better: false };
            results.add(&row, system, took);
        }
        for (number, spec) in specs.iter().enumerate() {
            for (group, condition) in tables(spec, bounced, pool, cpus) {
                if let Some((row, figure)) = figure(&report, number, spec, cpus, group, &condition) {
                    results.add(&row, system, figure);
                }
            }
        }
    }
    Ok(())
}

/// The groups of a figure, and the name of its row in each.
fn tables(spec: &str, bounced: bool, pool: u32, cpus: u32) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if (pool, cpus) == USUAL {
        all.push((if DEPTHS.contains(&spec) { DEPTH } else { SIZE }, String::new()));
    }
    if EVERYWHERE.contains(&spec) && bounced && cpus == USUAL.1 {
        all.push((POOL, format!(", pool of {pool} MiB")));
    }
    if EVERYWHERE.contains(&spec) && pool == USUAL.0 {
        all.push((CPUS, if cpus == 1 { ", 1 CPU".to_owned() } else { format!(" on each of {cpus} CPUs") }));
    }
    all
}

/// The figure of all CPUs together: requests of a random work, bytes of a sequential one.
fn figure(
    report: &Report,
    number: usize,
    spec: &str,
    cpus: u32,
    group: &str,
    condition: &str,
) -> Option<(Row, f64)> {
    let fact = |key: &str| report.number(&format!("bench.{number}.{key}"));
    let (key, unit, scale) =
        if spec.ends_with("random") { ("iops", "IOPS", 1.0) } else { ("kb_s", "MB/s", 1e-3) };
    let depth = fact("depth")?;
    let asked = spec.split(':').nth(2)?.parse::<u64>().ok()? * u64::from(cpus);
    let reached = if asked == depth { String::new() } else { format!(" ({depth} reached)") };
    let name = format!("{}{condition}{reached}", said(spec));
    let row = Row { group: group.to_owned(), name, unit, more_is_better: true };
    Some((row, fact(key)? as f64 * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_s_figures_are_in_the_tables_of_what_it_varies() {
        let groups = |spec, bounced, pool, cpus| {
            tables(spec, bounced, pool, cpus).iter().map(|(group, _)| *group).collect::<Vec<_>>()
        };
        assert_eq!(groups("read:4096:32:random", true, 64, 1), [DEPTH, POOL, CPUS]);
        assert_eq!(groups("read:65536:8:seq", false, 64, 1), [SIZE, CPUS]);
        assert_eq!(groups("read:4096:1:random", true, 64, 1), [DEPTH]);
        assert_eq!(groups("read:65536:8:seq", true, 256, 1), [POOL]);
        assert_eq!(groups("read:4096:32:random", true, 64, 4), [CPUS]);
        assert!(EVERYWHERE.iter().all(|spec| DEPTHS.contains(spec) || SIZES.contains(spec)));
    }

    #[test]
    fn rows_name_the_work_and_the_reached_depth() {
        let console = "postern: bench.0.iops=1000\npostern: bench.0.depth=85\npostern: bench.0.kb_s=4096\n";
        let report = Report::parse(console);
        let (row, figure_) = figure(&report, 0, "read:4096:128:random", 1, DEPTH, "").unwrap();
        assert_eq!(
            (&*row.name, row.unit, figure_),
            ("4 KiB random read, depth 128 (85 reached)", "IOPS", 1000.0)
        );
        let (row, figure_) = figure(&report, 0, "read:512:85:seq", 1, SIZE, ", 1 CPU").unwrap();
        assert_eq!((&*row.name, row.unit, figure_), ("512 bytes read, depth 85, 1 CPU", "MB/s", 4.096));
        assert!(figure(&report, 1, "read:512:85:seq", 1, SIZE, "").is_none());
    }
}
