//! Writes a published report's short table into README.md, and its entry into the book.

use crate::machine::Description;
use crate::markdown::{figure, round};
use crate::measure::{INSTRUCTIONS, NETWORK, START};
use crate::plan::{Backend, Effort, System};
use crate::results::Results;
use crate::targets::{self, Judged, Target, Wanted};
use std::fmt::Write;
use std::io;
use std::path::Path;

/// The marks before and after the table.
const FROM: &str = "<!-- benchmarks: written by make bench KEEP=docs -->";
const TO: &str = "<!-- benchmarks: end -->";
/// The entry before the report's entry in the book, and the report's entry.
const BEFORE: &str = "- [Benchmarks](benchmarking.md)\n";
const ENTRY: &str = "- [Benchmarks, the last report](benchmarks.md)\n";

/// Writes both into the project at `top`.
pub fn keep(
    top: &Path,
    results: &Results,
    machine: &Description,
    effort: Effort,
    charted: bool,
) -> io::Result<()> {
    let readme = top.join("README.md");
    let text = std::fs::read_to_string(&readme)?;
    let new = between(&text, &table(results, machine, effort, charted));
    std::fs::write(&readme, new.ok_or_else(|| io::Error::other("README.md has no place for a table"))?)?;
    let summary = top.join("docs/SUMMARY.md");
    let text = std::fs::read_to_string(&summary)?;
    if !text.contains(ENTRY) {
        std::fs::write(&summary, text.replacen(BEFORE, &format!("{BEFORE}{ENTRY}"), 1))?;
    }
    Ok(())
}

/// `text` with `table` between its two marks; `None` without them.
fn between(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(FROM)?;
    let (_, after) = rest.split_once(TO)?;
    Some(format!("{before}{FROM}\n{table}{TO}{after}"))
}

/// The most important rows.
const ROWS: [(&str, &str); 9] = [
    (Backend::Null.name(), "4 KiB random read, depth 1"),
    (Backend::Null.name(), "4 KiB random read, depth 32"),
    (Backend::Null.name(), "64 KiB read, depth 8"),
    (Backend::Null.name(), "1 MiB read, depth 8"),
    (INSTRUCTIONS, "4 KiB random read, depth 32, each"),
    (NETWORK, "UDP echo, 64 bytes"),
    (NETWORK, "TCP to the guest"),
    (START, "QEMU start to drivers ready, VOF"),
    (START, "memory that QEMU holds when the guest is idle"),
];
const SHOWN: [System; 2] = [System::PosternBounced, System::LinuxBounced];

/// Chart, rows and conditions.
fn table(results: &Results, machine: &Description, effort: Effort, charted: bool) -> String {
    let targets = targets::judge(results, machine);
    let mut text = String::new();
    if charted {
        text.push_str("![Postern and others, as multiples of Linux bounced](docs/benchmarks.svg)\n\n");
    }
    text.push_str("| |");
    // Writing to a string does not fail.
    for system in SHOWN {
        let _ = write!(text, " {} |", system.name());
    }
    text.push_str(" times Linux bounced | targets |\n|---|---|---|---|---|\n");
    for (group, name) in ROWS {
        let Some(entry) = results.find(group, name) else { continue };
        let _ = write!(text, "| {name} |");
        for system in SHOWN {
            match entry.median(system) {
                Some(median) => drop(write!(text, " {} {} |", figure(median), entry.row.unit)),
                None => text.push_str(" - |"),
            }
        }
        let times = entry.times(System::PosternBounced, System::LinuxBounced);
        let times = times.map_or_else(|| "-".to_owned(), |times| format!("{times:.1}"));
        let wanted: Vec<_> = targets.iter().filter_map(|target| verdict(target, group, name)).collect();
        let _ = writeln!(text, " {times} | {} |", wanted.join("; "));
    }
    let met = targets.iter().filter(|target| target.met() == Some(true)).count();
    let of = |name| machine.iter().find(|(key, _)| *key == name).map_or("unknown", |(_, value)| value);
    let _ = writeln!(
        text,
        "\n{met} of {} targets are met; [docs/performance.md](docs/performance.md#targets-that-are-not-met) says why \
         others are not. Medians of {} rounds, systems in turn, {}, {} CPUs ({}), {}; Linux is Debian's {} with \
         `swiotlb=force`. Everything else: [docs/benchmarks.md](docs/benchmarks.md).",
        targets.len(),
        effort.rounds,
        of("date"),
        of("CPUs"),
        of("CPU"),
        of("QEMU"),
        of("Linux guest"),
    );
    text
}

/// This row's target, and whether it is met.
fn verdict(target: &Target, group: &str, row: &str) -> Option<String> {
    let base = match target.judged {
        Judged::Times(g, r, _, base) if (g, r) == (group, row) => {
            format!(" times {}", base.name().trim_end_matches(" bounced"))
        }
        Judged::Median(g, r, System::PosternBounced) if (g, r) == (group, row) => String::new(),
        _ => return None,
    };
    let wanted = match target.wanted {
        Wanted::AtLeast(wanted) => format!("at least {}", round(wanted)),
        Wanted::AtMost(wanted) => format!("at most {}", round(wanted)),
    };
    let met = match target.met() {
        Some(true) => "met",
        Some(false) => "**not met**",
        None => "not measured",
    };
    Some(format!("{wanted}{base}: {met}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Row;

    #[test]
    fn a_new_table_replaces_the_old_one() {
        let readme = format!("above\n{FROM}\nold\n{TO}\nbelow\n");
        let new = between(&readme, "new\n").unwrap();
        assert_eq!(new, format!("above\n{FROM}\nnew\n{TO}\nbelow\n"));
        assert_eq!(between(&new, "new\n").as_deref(), Some(&*new));
        assert_eq!(between("no marks", "new\n"), None);
    }

    #[test]
    fn the_table_shows_figures_targets_and_a_dash_for_no_figure() {
        let row = |group: &str, name: &str, unit, more_is_better| Row {
            group: group.into(),
            name: name.into(),
            unit,
            more_is_better,
        };
        let mut results = Results::default();
        let tcp = row(NETWORK, "TCP to the guest", "MB/s", true);
        results.add(&tcp, System::PosternBounced, 50.0);
        results.add(&tcp, System::LinuxBounced, 25.0);
        let start = row(START, "QEMU start to drivers ready, VOF", "s", false);
        results.add(&start, System::PosternBounced, 0.5);
        let text = table(&results, &Description::new(), Effort::QUICK, false);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(
            lines[1..],
            [
                "| TCP to the guest | 50.0 MB/s | 25.0 MB/s | 2.0 | at least 1 times Linux: met |",
                "| QEMU start to drivers ready, VOF | 0.50 s | - | - | at most 0.3: **not met**; \
                 at least 12 times Linux: not measured |",
            ]
        );
        assert!(text.contains("\n1 of 19 targets are met") && !text.contains("svg"));
        assert!(table(&results, &Description::new(), Effort::QUICK, true).starts_with("![Postern"));
    }

    #[test]
    fn every_row_is_measured() {
        let (results, ..) = crate::json::read(include_str!("../../docs/benchmarks.json")).unwrap();
        for (group, row) in ROWS {
            assert!(results.find(group, row).is_some(), "{group}, {row}");
        }
    }

    #[test]
    fn readme_has_the_marks_and_the_book_the_page() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let readme = std::fs::read_to_string(top.join("README.md")).unwrap();
        assert!(between(&readme, "").is_some());
        assert!(std::fs::read_to_string(top.join("docs/SUMMARY.md")).unwrap().contains(BEFORE));
    }
}
