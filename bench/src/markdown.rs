//! The report as Markdown.

use crate::machine::Description;
use crate::measure::{INSTRUCTIONS, NETWORK, SLOTS, START};
use crate::plan::{Backend, Effort, System};
use crate::results::{Entry, Results};
use crate::scaling::{CPUS, DEPTH, POOL, SIZE};
use crate::targets::{self, Wanted};
use std::fmt::Write;

/// Each group, in the order of the report, its heading, and a note about its figures.
const SECTIONS: [(&str, &str, &str); 11] = [
    (
        Backend::Null.name(),
        "Disk without delay",
        "QEMU's `null-co` answers at once, so these figures measure the guest.",
    ),
    (
        Backend::Threaded.name(),
        "Disk without delay, in an iothread",
        "As above, but QEMU serves the disk in an iothread instead of its main loop. One guest measures each work five times.",
    ),
    (Backend::Raw.name(), "Disk with content", "A raw file in the host's page cache."),
    (NETWORK, "Network", "The guest talks to a process on the host through QEMU's user networking."),
    (START, "Start and memory", "One CPU, 1 GiB of memory, VOF unless the row names another firmware."),
    (
        INSTRUCTIONS,
        "Guest instructions",
        "QEMU counts them (`-icount`), so they do not depend on the machine.",
    ),
    (
        SLOTS,
        "Instructions of the pool's allocator",
        "A slot is taken and freed. This accesses no memory of the pool, so the guest is an ordinary one.",
    ),
    (
        DEPTH,
        "Throughput by depth",
        "Only Postern; `null-co` with a queue of 1024 descriptors, one CPU, pool of 64 MiB.",
    ),
    (SIZE, "Throughput by request size", "Only Postern; the same disk, one CPU, pool of 64 MiB."),
    (POOL, "Throughput and start by pool size", "Only Postern; `null-co`, one CPU."),
    (
        CPUS,
        "Throughput by CPUs",
        "Only Postern; `null-co`, pool of 64 MiB. Figures are sums over all CPUs; each CPU has its own queue.",
    ),
];

/// The report with all tables.
pub fn write(results: &Results, machine: &Description, effort: Effort, charted: bool) -> String {
    let mut text = String::from(
        "# Benchmarks\n\nEach round measures Postern and the other systems on the same QEMU, one after the other. A figure is \
         the median of all rounds; the number in brackets is the spread: the largest minus the smallest figure, in per cent \
         of the median. A column \"times\" is the median of each round's ratio between Postern bounced and the other \
         system; above 1 Postern is better. [benchmarking.md](benchmarking.md) says how to read and repeat this.\n\n",
    );
    if charted {
        text.push_str(
            "![Postern and others, as multiples of Linux bounced](benchmarks.svg)\n\n\
             For a slide, [Postern and Linux alone](benchmarks-slide.svg).\n\n",
        );
    }
    // Writing to a string does not fail.
    let _ = goals(&mut text, results, machine);
    let known = SECTIONS.map(|(group, ..)| group);
    let others = results.entries.iter().map(|entry| &*entry.row.group).filter(|group| !known.contains(group));
    let mut groups = known.to_vec();
    others.for_each(|group| {
        if !groups.contains(&group) {
            groups.push(group)
        }
    });
    for group in groups {
        let _ = section(&mut text, results, group);
    }
    let _ = rest(&mut text, results, machine, effort);
    text
}

fn goals(text: &mut String, results: &Results, machine: &Description) -> std::fmt::Result {
    text.push_str("## Targets\n| target | wanted | found | |\n|---|---|---|---|\n");
    for target in targets::judge(results, machine) {
        let (sign, wanted) = match target.wanted {
            Wanted::AtLeast(wanted) => ("at least", wanted),
            Wanted::AtMost(wanted) => ("at most", wanted),
        };
        let found = target.found.map_or_else(|| "-".to_owned(), figure);
        let met = match target.met() {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        };
        writeln!(text, "| {} | {sign} {} | {found} | {met} |", target.name, round(wanted))?;
    }
    Ok(())
}

/// A target's figure, without more digits than were chosen.
pub fn round(wanted: f64) -> String {
    if wanted >= 1000.0 { figure(wanted) } else { wanted.to_string() }
}

/// One column of a table of figures.
#[derive(Clone, Copy)]
enum Column {
    Of(System),
    /// How many times better Postern bounced is.
    Times(System),
}

impl Column {
    fn all() -> impl Iterator<Item = Self> {
        let bases = [
            System::LinuxBounced,
            System::LinuxSecure,
            System::VirtioDrivers,
            System::PosternDirect,
            System::PrivateCopy,
        ];
        System::ALL.into_iter().map(Self::Of).chain(bases.map(Self::Times))
    }

    fn heading(self) -> String {
        match self {
            Self::Of(system) => system.name().to_owned(),
            Self::Times(base) => format!("times {}", base.name()),
        }
    }

    fn cell(self, entry: &Entry) -> Option<String> {
        match self {
            Self::Of(system) => {
                let samples = entry.samples.get(&system)?;
                let median = figure(samples.median()?);
                let spread = samples.spread().filter(|_| samples.0.len() > 1);
                Some(spread.map_or(median.clone(), |spread| format!("{median} ({:.0} %)", spread * 100.0)))
            }
            Self::Times(base) => entry.times(System::PosternBounced, base).map(figure),
        }
    }
}

/// A table of one group, without empty columns.
fn section(text: &mut String, results: &Results, group: &str) -> std::fmt::Result {
    let entries: Vec<_> = results.entries.iter().filter(|entry| entry.row.group == group).collect();
    let columns: Vec<_> =
        Column::all().filter(|column| entries.iter().any(|entry| column.cell(entry).is_some())).collect();
    if columns.is_empty() {
        return Ok(());
    }
    let (_, heading, note) =
        SECTIONS.into_iter().find(|(known, ..)| *known == group).unwrap_or((group, group, ""));
    write!(text, "\n## {heading}\n{note}{}| work | unit |", if note.is_empty() { "" } else { "\n\n" })?;
    for column in &columns {
        write!(text, " {} |", column.heading())?;
    }
    writeln!(text, "\n{}|", "|---".repeat(columns.len() + 2))?;
    for entry in entries {
        write!(text, "| {} | {} |", entry.row.name, entry.row.unit)?;
        for column in &columns {
            write!(text, " {} |", column.cell(entry).as_deref().unwrap_or("-"))?;
        }
        text.push('\n');
    }
    Ok(())
}

fn rest(text: &mut String, results: &Results, machine: &Description, effort: Effort) -> std::fmt::Result {
    if !results.missing.is_empty() {
        text.push_str("\n## Not measured\n");
        for missing in &results.missing {
            writeln!(text, "- {missing}")?;
        }
    }
    text.push_str("\n## The machine\n| | |\n|---|---|\n");
    for (name, value) in machine {
        let (name, value) = readable(name, value);
        writeln!(text, "| {name} | {value} |")?;
    }
    writeln!(text, "| rounds | {} |", effort.rounds)?;
    writeln!(text, "| each piece of disk work | {} ms |", effort.milliseconds)?;
    writeln!(text, "| each piece of network work | {} ms |", effort.network_seconds * 1000.0)
}

/// A property of the machine, with a unit that suits it.
fn readable(name: &'static str, value: &str) -> (&'static str, String) {
    let bytes = |count: Option<f64>| match count {
        Some(bytes) if bytes >= 1e9 => Some(format!("{} GiB", figure(bytes / f64::from(1 << 30)))),
        Some(bytes) if bytes >= 1e7 => Some(format!("{} MiB", figure(bytes / f64::from(1 << 20)))),
        Some(bytes) => Some(format!("{} KiB", figure(bytes / 1024.0))),
        None => None,
    };
    let said = match (name.strip_suffix(", bytes"), value.strip_suffix(" kB")) {
        (Some(_), _) => bytes(value.parse().ok()),
        (_, Some(kib)) => bytes(kib.parse().ok().map(|kib: f64| kib * 1024.0)),
        _ => None,
    };
    (name.strip_suffix(", bytes").unwrap_or(name), said.unwrap_or_else(|| value.to_owned()))
}

/// Three digits, or all digits of a large number.
pub fn figure(value: f64) -> String {
    match value {
        v if v >= 1000.0 => {
            let digits = format!("{v:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Row;

    type Measured<'a> = (&'a str, &'a str, bool, &'a [(System, f64)]);

    fn results(rows: &[Measured]) -> Results {
        let mut results = Results::default();
        for (group, name, more_is_better, samples) in rows {
            let row = Row {
                group: (*group).into(),
                name: (*name).into(),
                unit: "units",
                more_is_better: *more_is_better,
            };
            samples.iter().for_each(|(system, sample)| results.add(&row, *system, *sample));
        }
        results
    }

    #[test]
    fn figures_have_three_digits_or_groups() {
        assert_eq!(figure(1_234_567.2), "1,234,567");
        assert_eq!(figure(999.4), "999");
        assert_eq!(figure(12.34), "12.3");
        assert_eq!(figure(0.264), "0.26");
    }

    #[test]
    fn tables_have_the_columns_in_which_there_is_a_figure() {
        let (ours, theirs, direct) = (System::PosternBounced, System::LinuxBounced, System::PosternDirect);
        let results = results(&[
            (NETWORK, "ping", false, &[(ours, 50.0), (theirs, 100.0), (ours, 60.0), (theirs, 100.0)]),
            (DEPTH, "a", true, &[(direct, 7.0)]),
            (DEPTH, "b", true, &[(ours, 1000.0), (direct, 2000.0)]),
            ("something new", "c", true, &[(ours, 1.0)]),
        ]);
        let text = write(&results, &Description::new(), Effort::QUICK, false);
        let table = |heading: &str| {
            let (_, after) = text.split_once(&format!("## {heading}\n")).unwrap();
            after
                .split("\n## ")
                .next()
                .unwrap()
                .trim_end()
                .lines()
                .filter(|line| line.starts_with('|'))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            table("Network"),
            [
                "| work | unit | Postern bounced | Linux bounced | times Linux bounced |",
                "|---|---|---|---|---|",
                "| ping | units | 55.0 (18 %) | 100 (0 %) | 1.83 |",
            ]
        );
        assert_eq!(
            table("Throughput by depth"),
            [
                "| work | unit | Postern bounced | Postern direct | times Postern direct |",
                "|---|---|---|---|---|",
                "| a | units | - | 7.00 | - |",
                "| b | units | 1,000 | 2,000 | 0.50 |",
            ]
        );
        assert_eq!(table("something new").len(), 3);
        assert!(!text.contains("Linux direct") && !text.contains("Guest instructions"));
    }

    #[test]
    fn missing_measurements_are_listed() {
        let mut results = Results::default();
        results.missing.push("Linux bounced, disk: no".to_owned());
        let text = write(&results, &Description::new(), Effort::QUICK, false);
        assert!(
            text.contains("## Not measured\n- Linux bounced, disk: no\n") && !text.contains("benchmarks.svg")
        );
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(readable("memory", "24684092 kB"), ("memory", "23.5 GiB".to_owned()));
        assert_eq!(readable("Linux image, bytes", "41049536"), ("Linux image", "39.1 MiB".to_owned()));
        assert_eq!(readable("Postern image, bytes", "504864"), ("Postern image", "493 KiB".to_owned()));
        assert_eq!(readable("CPU", "kB"), ("CPU", "kB".to_owned()));
    }
}
