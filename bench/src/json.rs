//! The report for programs.

use crate::machine::Description;
use crate::plan::Effort;
use crate::results::Results;
use crate::targets;
use serde_json::{Map, Value, json};

/// Every sample, and what follows from them.
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
        .map(|target| json!({"target": target.name, "found": target.found, "wanted": target.wanted, "met": target.met()}))
        .collect();
    let report = json!({
        "machine": machine, "rounds": effort.rounds, "milliseconds": effort.milliseconds,
        "rows": rows, "targets": targets, "missing": results.missing,
    });
    format!("{report:#}\n")
}
