//! The report for programs.

use crate::machine::{Description, NAMES};
use crate::plan::{Effort, System};
use crate::results::{Results, Row};
use crate::targets::{self, Wanted};
use serde_json::{Map, Value, json};

/// Every sample, and the figures computed from them.
pub fn write(results: &Results, description: &Description, effort: Effort) -> String {
    let machine: Map<String, Value> =
        description.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let rows: Vec<Value> = results
        .entries
        .iter()
        .map(|entry| {
            let systems: Map<String, Value> = entry
                .samples
                .iter()
                .map(|(system, samples)| {
                    let figures = json!({
                        "samples": samples.0, "median": samples.median(), "spread": samples.spread(),
                    });
                    (system.name().to_owned(), figures)
                })
                .collect();
            let row = &entry.row;
            json!({
                "group": row.group, "work": row.name, "unit": row.unit,
                "more_is_better": row.more_is_better, "systems": systems,
            })
        })
        .collect();
    let targets: Vec<Value> = targets::judge(results, description)
        .iter()
        .map(|target| {
            let (at_least, wanted) = match target.wanted {
                Wanted::AtLeast(wanted) => (true, wanted),
                Wanted::AtMost(wanted) => (false, wanted),
            };
            json!({
                "target": target.name, "found": target.found, "wanted": wanted, "at_least": at_least,
                "met": target.met(),
            })
        })
        .collect();
    let report = json!({
        "machine": machine, "rounds": effort.rounds, "milliseconds": effort.milliseconds,
        "network_seconds": effort.network_seconds, "rows": rows, "targets": targets, "missing": results.missing,
    });
    format!("{report:#}\n")
}

/// Reads the arguments of [`write()`] back; targets are judged again.
///
/// # Errors
/// The first part that [`write()`] would not write so.
pub fn read(text: &str) -> Result<(Results, Description, Effort), String> {
    let report: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let effort = Effort {
        rounds: usize::try_from(number(&report, "rounds")? as u64).map_err(|error| error.to_string())?,
        milliseconds: number(&report, "milliseconds")? as u32,
        network_seconds: number(&report, "network_seconds").unwrap_or(Effort::FULL.network_seconds),
    };
    let machine = &report["machine"];
    let machine =
        NAMES.into_iter().filter_map(|name| Some((name, machine[name].as_str()?.to_owned()))).collect();
    let mut results = Results::default();
    for row in list(&report, "rows")? {
        let systems = row["systems"].as_object().ok_or("a row without systems")?;
        let row = Row {
            group: string(row, "group")?.to_owned(),
            name: string(row, "work")?.to_owned(),
            // Leaked: a report is read once, by a program that ends soon.
            unit: string(row, "unit")?.to_owned().leak(),
            more_is_better: row["more_is_better"].as_bool().ok_or("a row without more_is_better")?,
        };
        for (name, figures) in systems {
            let system = System::ALL.into_iter().find(|system| system.name() == name);
            let system = system.ok_or_else(|| format!("no system is called {name}"))?;
            for sample in list(figures, "samples")? {
                results.add(&row, system, sample.as_f64().ok_or("a sample that is no number")?);
            }
        }
    }
    for missing in list(&report, "missing")? {
        results.missing.push(missing.as_str().ok_or("something missing without a name")?.to_owned());
    }
    Ok((results, machine, effort))
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    value[name].as_array().ok_or_else(|| format!("no list {name}"))
}

fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    value[name].as_str().ok_or_else(|| format!("no {name}"))
}

fn number(value: &Value, name: &str) -> Result<f64, String> {
    value[name].as_f64().ok_or_else(|| format!("no number {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published report.
    const KEPT: &str = include_str!("../../docs/benchmarks.json");

    #[test]
    fn a_written_report_is_read_back() {
        let mut results = Results::default();
        for (name, unit, more_is_better) in [("a", "IOPS", true), ("b", "us", false)] {
            let row = Row { group: "g".into(), name: name.into(), unit, more_is_better };
            for (system, sample) in System::ALL.into_iter().zip([0.5, 1.25, 3.0, 1024.0, 7.75]) {
                results.add(&row, system, sample);
                results.add(&row, system, sample * 2.0);
            }
        }
        results.missing.push("a disk".to_owned());
        let machine = NAMES.into_iter().map(|name| (name, format!("some {name}"))).collect();
        let effort = Effort { rounds: 2, milliseconds: 125, network_seconds: 0.25 };
        let (again, read_machine, read_effort) = read(&write(&results, &machine, effort)).unwrap();
        assert_eq!(format!("{again:?}"), format!("{results:?}"));
        assert_eq!((read_machine, format!("{read_effort:?}")), (machine, format!("{effort:?}")));
    }

    #[test]
    fn kept_report_can_be_read() {
        let (results, machine, effort) = read(KEPT).unwrap();
        let read = results.find("null-co", "4 KiB random read, depth 32").unwrap();
        let text: Value = serde_json::from_str(KEPT).unwrap();
        let row = text["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["group"] == "null-co" && row["work"] == read.row.name);
        let median = row.unwrap()["systems"]["Postern bounced"]["median"].as_f64();
        assert_eq!(read.median(System::PosternBounced), median);
        assert!(results.entries.len() > 50 && machine.len() > 5 && effort.rounds > 0);
    }

    #[test]
    fn the_error_for_a_bad_report_names_the_fault() {
        assert_eq!(read("{}").unwrap_err(), "no number rounds");
        let broken = KEPT.replace("\"Postern bounced\"", "\"BSD bounced\"");
        assert_eq!(read(&broken).unwrap_err(), "no system is called BSD bounced");
        assert!(read(&KEPT[..1000]).is_err());
    }
}
