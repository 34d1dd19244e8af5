//! The measurements, by row and system.

use crate::plan::System;
use crate::statistics::{Samples, ratio};
use std::collections::BTreeMap;

/// One quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The group of the row, such as the kind of disk.
    pub group: String,
    /// The work.
    pub name: String,
    /// Unit of the figures.
    pub unit: &'static str,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// A row and its samples.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The quantity.
    pub row: Row,
    /// Its samples.
    pub samples: BTreeMap<System, Samples>,
}

impl Entry {
    /// How many times better `this` is than `base`.
    pub fn times(&self, this: System, base: System) -> Option<f64> {
        let (this, base) = (self.samples.get(&this)?, self.samples.get(&base)?);
        if self.row.more_is_better { ratio(this, base) } else { ratio(base, this) }
    }

    /// The median of one system.
    pub fn median(&self, system: System) -> Option<f64> {
        self.samples.get(&system)?.median()
    }
}

/// All rows, in the order in which they were first measured.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The rows.
    pub entries: Vec<Entry>,
    /// Failed measurements, with the reason.
    pub missing: Vec<String>,
}

impl Results {
    /// Adds a sample.
    pub fn add(&mut self, row: &Row, system: System, sample: f64) {
        let at = self.entries.iter().position(|entry| entry.row == *row).unwrap_or_else(|| {
            self.entries.push(Entry { row: row.clone(), samples: BTreeMap::new() });
            self.entries.len() - 1
        });
        self.entries[at].samples.entry(system).or_default().0.push(sample);
    }

    /// Adds a failed measurement.
    pub fn miss(&mut self, what: String) {
        eprintln!("bench: {what}");
        if !self.missing.contains(&what) {
            self.missing.push(what);
        }
    }

    /// The row of this group and name.
    pub fn find(&self, group: &str, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.row.group == group && entry.row.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_time_is_better() {
        let row = Row { group: "g".into(), name: "n".into(), unit: "s", more_is_better: false };
        let mut results = Results::default();
        results.add(&row, System::PosternBounced, 0.5);
        results.add(&row, System::LinuxBounced, 5.0);
        let entry = results.find("g", "n").unwrap();
        assert_eq!(entry.times(System::PosternBounced, System::LinuxBounced), Some(10.0));
        assert_eq!(entry.times(System::PosternBounced, System::LinuxDirect), None);
    }
}
