//! The lists of facts.

use crate::place::{Place, wrapped};
use postern_core::facts::{Fact, Stated, all};
use std::fmt::Write as _;

/// The table in docs/guest-contract.md.
pub const TABLE: Place = Place { first: "| key | value |", after: "" };
/// The list in docs/help.txt.
pub const SENTENCE: Place =
    Place { first: "Facts for scripts are plain lines", after: "docs/guest-contract.md says" };

/// A row for each fact.
pub fn table() -> String {
    let mut table = "| key | value | meaning | stated by | image |\n|---|---|---|---|---|\n".to_owned();
    for fact in all() {
        let image = if fact.stated.only_test_image() { "`postern-test`" } else { "each" };
        let Fact { key, value, meaning, stated } = fact;
        // Writing to a string does not fail.
        let _ = writeln!(table, "| `{key}` | {value} | {meaning} | {} | {image} |", by(*stated));
    }
    table
}

fn by(stated: Stated) -> String {
    let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match stated {
        Stated::Boot => "every boot".to_owned(),
        Stated::SecureBoot => "secure boot".to_owned(),
        Stated::Each(what) => format!("each {what}"),
        Stated::Words(these) | Stated::TestWords(these) => words(these),
        Stated::SecureTestWords(these) => format!("{}, secure", words(these)),
        Stated::Exception => "status 8".to_owned(),
    }
}

/// Every key; the test image's keys are last.
pub fn sentence() -> String {
    let keys = |test: bool| {
        let of = all().filter(|fact| fact.stated.only_test_image() == test);
        of.map(|fact| fact.key).collect::<Vec<_>>().join(", ")
    };
    let text = format!(
        "Facts for scripts are plain lines `postern: key=value` on the console: {}; from build/postern-test.elf alone: {}.",
        keys(false),
        keys(true)
    );
    wrapped(&text, 116, "")
}
