//! What a report that is kept leaves in the pages around it: a short table in README.md, an entry in the book.

use crate::machine::Description;
use crate::markdown::figure;
use crate::measure::{INSTRUCTIONS, NETWORK, START};
use crate::plan::{Backend, Effort, System};
use crate::results::Results;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// The lines that the table stands between.
const FROM: &str = "<!-- benchmarks: written by make bench KEEP=docs -->";
const TO: &str = "<!-- benchmarks: end -->";
/// The page that the report's is listed after, and its own entry.
const BEFORE: &str = "- [Benchmarks](benchmarking.md)\n";
const ENTRY: &str = "- [Benchmarks, the last report](benchmarks.md)\n";

/// Writes both into the project at `top`.
pub fn keep(top: &Path, results: &Results, machine: &Description, effort: Effort) -> io::Result<()> {
    let readme = top.join("README.md");
    let text = std::fs::read_to_string(&readme)?;
    let new = between(&text, &table(results, machine, effort));
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

/// The rows that a reader wants first.
fn table(results: &Results, machine: &Description, effort: Effort) -> String {
    let null = Backend::Null.name();
    let rows = [
        (null, "4 KiB random read, depth 1"),
        (null, "4 KiB random read, depth 32"),
        (null, "4 KiB random write, depth 32"),
        (null, "64 KiB read, depth 8"),
        (null, "1 MiB read, depth 8"),
        (INSTRUCTIONS, "4 KiB random read, depth 32, each"),
        (NETWORK, "UDP echo, 64 bytes"),
        (NETWORK, "UDP echo, 64 bytes, time of one"),
        (NETWORK, "TCP echo, each way"),
        (START, "QEMU start to drivers ready, VOF"),
        (START, "QEMU start to drivers ready, SLOF"),
        (START, "memory that QEMU holds when the guest is idle"),
    ];
    let shown = [System::PosternBounced, System::LinuxBounced, System::PosternDirect];
    let mut text = String::from("| |");
    // Writing to a string does not fail.
    for system in shown {
        let _ = write!(text, " {} |", system.name());
    }
    text.push_str(" bounced, times Linux |\n|---|---|---|---|---|\n");
    for (group, name) in rows {
        let Some(entry) = results.find(group, name) else { continue };
        let _ = write!(text, "| {name} |");
        for system in shown {
            match entry.median(system) {
                Some(median) => drop(write!(text, " {} {} |", figure(median), entry.row.unit)),
                None => text.push_str(" - |"),
            }
        }
        match entry.times(System::PosternBounced, System::LinuxBounced) {
            Some(times) => drop(writeln!(text, " {times:.1} |")),
            None => text.push_str(" - |\n"),
        }
    }
    let of = |name| machine.iter().find(|(key, _)| *key == name).map_or("unknown", |(_, value)| value);
    let _ = writeln!(
        text,
        "\nMedians of {} rounds, systems in turn, {}, {} CPUs ({}), {}; Linux is Debian's {} with `swiotlb=force`. \
         Everything, the targets and the chart: [docs/benchmarks.md](docs/benchmarks.md).",
        effort.rounds,
        of("date"),
        of("CPUs"),
        of("CPU"),
        of("QEMU"),
        of("Linux guest"),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Row;

    #[test]
    fn table_takes_the_old_one_s_place() {
        let readme = format!("above\n{FROM}\nold\n{TO}\nbelow\n");
        let new = between(&readme, "new\n").unwrap();
        assert_eq!(new, format!("above\n{FROM}\nnew\n{TO}\nbelow\n"));
        assert_eq!(between(&new, "new\n").as_deref(), Some(&*new));
        assert_eq!(between("no marks", "new\n"), None);
    }

    #[test]
    fn table_shows_what_was_measured_and_a_dash_for_what_was_not() {
        let row = Row {
            group: NETWORK.into(),
            name: "TCP echo, each way".into(),
            unit: "MB/s",
            more_is_better: true,
        };
        let mut results = Results::default();
        results.add(&row, System::PosternBounced, 50.0);
        results.add(&row, System::LinuxBounced, 25.0);
        let text = table(&results, &Description::new(), Effort::QUICK);
        assert!(text.contains("| TCP echo, each way | 50.0 MB/s | 25.0 MB/s | - | 2.0 |\n"), "{text}");
    }

    #[test]
    fn readme_has_the_marks_and_the_book_the_page() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let readme = std::fs::read_to_string(top.join("README.md")).unwrap();
        assert!(between(&readme, "").is_some());
        assert!(std::fs::read_to_string(top.join("docs/SUMMARY.md")).unwrap().contains(BEFORE));
    }
}
