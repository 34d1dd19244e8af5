//! The report for people.

use crate::machine::Description;
use crate::plan::{Effort, System};
use crate::results::{Entry, Results};
use crate::targets::{self, Wanted};
use std::fmt::Write;

/// Tables of everything.
pub fn write(results: &Results, machine: &Description, effort: Effort, charted: bool) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = tables(&mut text, results, machine, effort, charted);
    text
}

fn tables(
    text: &mut String,
    results: &Results,
    machine: &Description,
    effort: Effort,
    charted: bool,
) -> std::fmt::Result {
    text.push_str(
        "# Benchmarks\n\nPostern and others on the same QEMU, one after the other in each round. Figures are \
         medians, in brackets the spread: largest minus smallest as a part of the median. Ratios are medians \
         of each round's pair. How to read and repeat this: [benchmarking.md](benchmarking.md).\n\n",
    );
    if charted {
        text.push_str("![Postern and Linux](benchmarks.svg)\n\n");
    }
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
        writeln!(text, "| {} | {sign} {} | {found} | {met} |", target.name, figure(wanted))?;
    }
    let mut group = "";
    for entry in results.by_group() {
        if entry.row.group != group {
            group = &entry.row.group;
            write!(text, "\n## {}{}\n| work | unit |", group[..1].to_uppercase(), &group[1..])?;
            for system in System::ALL {
                write!(text, " {} |", system.name())?;
            }
            text.push_str(" bounced, Postern : Linux | Postern, bounced : direct |\n");
            writeln!(text, "{}|", "|---".repeat(System::ALL.len() + 4))?;
        }
        line(text, entry)?;
    }
    if !results.missing.is_empty() {
        text.push_str("\n## Not measured\n");
        for missing in &results.missing {
            writeln!(text, "- {missing}")?;
        }
    }
    text.push_str("\n## The machine\n| | |\n|---|---|\n");
    for (name, value) in machine {
        writeln!(text, "| {name} | {value} |")?;
    }
    writeln!(text, "| rounds | {} |", effort.rounds)?;
    writeln!(text, "| each piece of disk work | {} ms |", effort.milliseconds)
}

fn line(text: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(text, "| {} | {} |", entry.row.name, entry.row.unit)?;
    for system in System::ALL {
        let samples = entry.samples.get(&system);
        match samples.and_then(|samples| samples.median()) {
            Some(median) => write!(text, " {}", figure(median))?,
            None => text.push_str(" -"),
        }
        if let Some(spread) = samples.filter(|samples| samples.0.len() > 1).and_then(|s| s.spread()) {
            write!(text, " ({:.0} %)", spread * 100.0)?;
        }
        text.push_str(" |");
    }
    for (this, base) in
        [(System::PosternBounced, System::LinuxBounced), (System::PosternBounced, System::PosternDirect)]
    {
        match entry.times(this, base) {
            Some(times) => write!(text, " {times:.2} |")?,
            None => text.push_str(" - |"),
        }
    }
    text.push('\n');
    Ok(())
}

/// Three digits, or all of a large number.
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
    use super::figure;

    #[test]
    fn figures_have_three_digits_or_groups() {
        assert_eq!(figure(1_234_567.2), "1,234,567");
        assert_eq!(figure(999.4), "999");
        assert_eq!(figure(12.34), "12.3");
        assert_eq!(figure(0.264), "0.26");
    }
}
