//! Collects the report of a run. A step, for a person, is logged when it happens and again in the summary. A fact, for a
//! script, is a plain line after the summary; its name is a row of [`postern_core::facts`].

use crate::platform::console::print_line;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Display, Write};
use papr::text::SingleLine;
use postern_core::facts::Name;

/// The summary under construction.
#[derive(Debug, Default)]
pub struct Report {
    steps: Vec<(String, String)>,
    facts: Vec<(Name, String)>,
}

impl Report {
    /// Adds a step for a person, under a short label, and logs it.
    pub fn step(&mut self, label: &str, text: impl Display) {
        let text = single_line(text);
        log::info!("{label}: {text}");
        self.steps.push((label.to_owned(), text));
    }

    /// Adds a fact for a script. If a key is stated twice, the last value counts.
    pub fn fact(&mut self, name: impl Into<Name>, value: impl Display) {
        self.facts.push((name.into(), single_line(value)));
    }

    /// Adds a fact that the host waits for: printed now, and again at the end.
    pub fn fact_now(&mut self, name: impl Into<Name>, value: impl Display) {
        let (name, value) = (name.into(), single_line(value));
        print_line(format_args!("{}", name.line(&value)));
        self.facts.push((name, value));
    }

    /// The steps so far: label and text.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &str)> {
        self.steps.iter().map(|(label, text)| (label.as_str(), text.as_str()))
    }

    /// The facts so far, with the last value of each key.
    pub fn stated(&self) -> impl Iterator<Item = (&Name, &str)> {
        let is_last =
            |at: usize, name: &Name| self.facts.iter().skip(at).skip(1).all(|(later, _)| later != name);
        let facts = self.facts.iter().enumerate();
        facts
            .filter(move |(at, (name, _))| is_last(*at, name))
            .map(|(_, (name, value))| (name, value.as_str()))
    }

    /// Prints the summary and the facts.
    pub fn print(&self) {
        let width = self.steps.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        print_line(format_args!(""));
        print_line(format_args!("=== Postern {} ===", env!("CARGO_PKG_VERSION")));
        let mut last = "";
        for (label, text) in &self.steps {
            let shown = if label == last { "" } else { label };
            print_line(format_args!("  {shown:width$}  {text}"));
            last = label;
        }
        print_line(format_args!(""));
        for (name, value) in &self.facts {
            print_line(format_args!("{}", name.line(value)));
        }
    }
}

/// `text` on one line, whatever it holds.
fn single_line(text: impl Display) -> String {
    let mut line = SingleLine(String::new());
    // A string takes everything.
    let _ = write!(line, "{text}");
    line.0
}
