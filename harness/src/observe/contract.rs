//! Checks a guest's facts against the table of docs/guest-contract.md: known keys, values of the right form, and no fact
//! of another kind of guest or image.

use crate::guest::report::Report;
use postern_core::facts::{self, Stated, Value};
use std::fmt;

/// A plain line that does not agree with the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    line: String,
    wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    NoRow,
    Value(Value),
    OrdinaryGuest,
    Product,
    Missing,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fact {}: ", self.line)?;
        match self.wrong {
            Wrong::NoRow => f.write_str("no row of the table has this key"),
            Wrong::Value(form) => write!(f, "the value is not: {form}"),
            Wrong::OrdinaryGuest => f.write_str("only a secure guest states it"),
            Wrong::Product => f.write_str("only the test image states it"),
            Wrong::Missing => f.write_str("every boot that succeeds states it"),
        }
    }
}

/// Facts that may be missing after status 0: the table says when.
const SOMETIMES: [&str; 4] = ["nmi.area", "esm.base", "irq.taken", "irq.unknown"];

/// Each line that does not agree with the table; and, in a guest that names its image, each fact that is missing after
/// status 0.
pub fn breaches(report: &Report) -> impl Iterator<Item = Breach> {
    let ordinary = report.fact("mode") == Some("normal");
    let product = report.fact("image.name") == Some("postern");
    let stated = report.facts().filter_map(move |(key, value)| {
        let wrong = match facts::find(key) {
            None => Wrong::NoRow,
            Some(fact) if !fact.value.accepts(value) => Wrong::Value(fact.value),
            Some(fact) if ordinary && fact.stated.only_secure() => Wrong::OrdinaryGuest,
            Some(fact) if product && fact.stated.only_test_image() => Wrong::Product,
            Some(_) => return None,
        };
        Some(Breach { line: format!("{key}={value}"), wrong })
    });
    let done = report.exit_status == Some(0) && report.fact("image.name").is_some();
    let missing = facts::all().filter(move |fact| {
        let due = fact.stated == Stated::Boot || (!ordinary && fact.stated == Stated::SecureBoot);
        done && due && !SOMETIMES.contains(&fact.key) && report.fact(fact.key).is_none()
    });
    stated.chain(missing.map(|fact| Breach { line: fact.key.to_owned(), wrong: Wrong::Missing }))
}

#[cfg(test)]
mod tests {
    use super::{Wrong, breaches};
    use crate::guest::report::Report;

    fn wrong(log: &str) -> Vec<Wrong> {
        breaches(&Report::parse(log)).map(|breach| breach.wrong).collect()
    }

    #[test]
    fn a_fact_that_differs_from_the_table_is_found() {
        let normal = "postern: mode=normal\npostern: image.name=postern\n";
        assert_eq!(wrong(&format!("{normal}postern: blk0.id=x y\npostern: map.3=0x0 0x1 r--\n")), []);
        assert_eq!(wrong(&format!("{normal}postern: blk0.serial=x\n")), [Wrong::NoRow]);
        assert_eq!(wrong(&format!("{normal}postern: pool.frames=128\n")), [Wrong::OrdinaryGuest]);
        assert_eq!(wrong(&format!("{normal}postern: soak.requests=1\n")), [Wrong::Product]);
        assert!(matches!(wrong("postern: cpu.online=one\n")[..], [Wrong::Value(_)]));
    }

    #[test]
    fn a_missing_fact_is_found_after_a_successful_boot() {
        let done = "postern: mode=normal\npostern: image.name=postern\nEXIT: STATUS=0\n";
        let missing = wrong(done);
        assert!(missing.len() > 20 && missing.iter().all(|wrong| *wrong == Wrong::Missing));
        assert_eq!(wrong("postern: mode=normal\nEXIT: STATUS=6\n"), []);
    }
}
