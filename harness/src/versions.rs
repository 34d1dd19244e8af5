//! The table of boot tests by QEMU version, `docs/qemu-versions.md`: a row for each group of tests, a column for each
//! version.

use crate::matrix::results::QEMU;
use crate::matrix::runner;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// The page.
pub const PAGE: &str = "docs/qemu-versions.md";
const ABOVE: &str = "\
# Boot tests by QEMU version

Each cell is what the boot tests of one group came to on one version of QEMU; [Tests](testing.md#boot-tests) says what a \
group shows. `make test` leaves its results in `build/test/boot.tsv`, and `make versions` puts them into this page, in \
place of what the same version came to before. `make test QEMU=path` runs any other QEMU.

";
/// A cell whose tests were not run on that version.
const NOT_RUN: &str = "not run";

/// Why the table could not be made.
#[derive(Debug)]
pub enum TableError {
    /// A file cannot be read.
    File(PathBuf, std::io::Error),
    /// A file of results does not begin with the version of its QEMU.
    NoVersion(PathBuf),
    /// A line of a file is no result.
    NoResult(PathBuf, String),
    /// A test in the results that is not in the list.
    UnknownTest(String),
    /// The results have a part of a group, without this test on this version.
    Missing(String, String),
    /// A row of the page that cannot be read.
    BadRow(String),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoVersion(path) => write!(f, "{}: does not begin with `{QEMU}VERSION`", path.display()),
            Self::NoResult(path, line) => write!(f, "{}: no result: {line}", path.display()),
            Self::UnknownTest(name) => write!(f, "{name}: there is no such test; run `make test` again"),
            Self::Missing(name, version) => write!(f, "{name}: not run on QEMU {version}"),
            Self::BadRow(row) => write!(f, "{PAGE}: no row of the table: {row}"),
        }
    }
}

impl std::error::Error for TableError {}

/// The current page with the results of these files added.
///
/// # Errors
/// A file that cannot be read or holds no complete results.
pub fn table(files: &[String]) -> Result<String, TableError> {
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(TableError::File(path, error)),
    };
    let mut table = Table::read(&read(PAGE.into())?.1)?;
    let results: Result<Vec<_>, _> = files.iter().map(|file| read(file.into())).collect();
    let tests = runner::names();
    table.merge(&tests, &results?)?;
    Ok(table.page(&tests))
}

/// The results of a group's tests, as the page shows them.
type Cell = String;
/// Why a test did not pass: `failed` or `skipped`, and the reason.
type NotPassed<'a> = Option<(&'a str, &'a str)>;

/// The versions, and the cells by group and version.
#[derive(Debug, Default)]
pub struct Table {
    cells: BTreeMap<String, BTreeMap<String, Cell>>,
    versions: BTreeSet<Version>,
}

/// A dotted number, ordered by its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(Vec<u64>, String);

impl Version {
    fn new(text: &str) -> Self {
        Self(text.split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect(), text.to_owned())
    }
}

/// The group that a test belongs to: the first word of its name.
fn group(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

impl Table {
    /// Reads the page; an empty text is a page without versions.
    ///
    /// # Errors
    /// A row has another length than the first.
    pub fn read(page: &str) -> Result<Self, TableError> {
        let mut rows = page.lines().filter(|line| line.starts_with('|'));
        let split = |row: &str| -> Vec<String> {
            row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
        };
        let heads = rows.next().map(split).unwrap_or_default();
        let mut table = Self::default();
        table.versions.extend(heads.iter().skip(1).map(|version| Version::new(version)));
        for row in rows.skip(1) {
            let cells = split(row);
            let bad = || TableError::BadRow(row.to_owned());
            if cells.len() != heads.len() {
                return Err(bad());
            }
            if cells[0] == "all" {
                continue;
            }
            let name =
                cells[0].strip_prefix('`').and_then(|name| name.strip_suffix("/…`")).ok_or_else(bad)?;
            let known = heads.iter().zip(cells.iter()).skip(1);
            let known = known.map(|(version, cell)| (version.clone(), cell.clone())).collect();
            table.cells.insert(name.to_owned(), known);
        }
        Ok(table)
    }

    /// Adds the results; if a test occurs twice, the later result counts.
    ///
    /// # Errors
    /// A text is no list of results, or lacks a test of a group that it has.
    pub fn merge(&mut self, tests: &[String], results: &[(PathBuf, String)]) -> Result<(), TableError> {
        let mut by_version: BTreeMap<&str, BTreeMap<&str, NotPassed>> = BTreeMap::new();
        for (path, text) in results {
            let mut lines = text.lines();
            let version = lines.next().and_then(|line| line.strip_prefix(QEMU));
            let version = version.ok_or_else(|| TableError::NoVersion(path.clone()))?;
            let outcomes = by_version.entry(version).or_default();
            for line in lines {
                let mut fields = line.split('\t');
                let (word, name, reason) = (fields.next(), fields.next(), fields.nth(1));
                let other = match (word, reason) {
                    (Some("passed"), Some(_)) => None,
                    (Some(word @ ("failed" | "skipped")), Some(reason)) => Some((word, reason)),
                    _ => return Err(TableError::NoResult(path.clone(), line.to_owned())),
                };
                let name = name.unwrap_or_default();
                if !tests.iter().any(|test| test == name) {
                    return Err(TableError::UnknownTest(name.to_owned()));
                }
                outcomes.insert(name, other);
            }
        }
        for (version, outcomes) in by_version {
            let groups: BTreeSet<_> = outcomes.keys().map(|name| group(name)).collect();
            for group_name in groups {
                let names = tests.iter().filter(|name| group(name) == group_name);
                let all: Result<Vec<_>, _> = names
                    .map(|name| match outcomes.get(name.as_str()) {
                        Some(outcome) => Ok((name.as_str(), *outcome)),
                        None => Err(TableError::Missing(name.clone(), version.to_owned())),
                    })
                    .collect();
                let row = self.cells.entry(group_name.to_owned()).or_default();
                row.insert(version.to_owned(), cell(&all?));
                self.versions.insert(Version::new(version));
            }
        }
        Ok(())
    }

    /// The page, with a row for each group of the tests and for no other.
    #[must_use]
    pub fn page(&self, tests: &[String]) -> String {
        let groups: BTreeSet<_> = tests.iter().map(|name| group(name)).collect();
        let versions: Vec<_> = self.versions.iter().map(|version| version.1.as_str()).collect();
        let row = |first: &str, cells: Vec<String>| {
            format!("| {} |\n", [vec![first.to_owned()], cells].concat().join(" | "))
        };
        let mut page = ABOVE.to_owned();
        page += &row("tests", versions.iter().map(|version| (*version).to_owned()).collect());
        page += &format!("|{}\n", "---|".repeat(versions.len() + 1));
        let mut sums = vec![(0, 0, 0); versions.len()];
        for group in groups {
            let cells = versions.iter().zip(&mut sums).map(|(version, sum)| {
                let cell = self.cells.get(group).and_then(|row| row.get(*version));
                let cell = cell.map_or(NOT_RUN, String::as_str);
                *sum = (
                    sum.0 + count(cell, "passed"),
                    sum.1 + count(cell, "failed"),
                    sum.2 + count(cell, "skipped"),
                );
                cell.to_owned()
            });
            page += &row(&format!("`{group}/…`"), cells.collect());
        }
        page += &row(
            "all",
            sums.iter()
                .map(|(passed, failed, skipped)| match skipped {
                    0 => format!("{passed} passed, {failed} failed"),
                    _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
                })
                .collect(),
        );
        page
    }
}

/// A group's cell: the number of passed tests, and each other test; tests with the same reason are together.
fn cell(outcomes: &[(&str, NotPassed)]) -> Cell {
    let passed = outcomes.iter().filter(|(_, other)| other.is_none()).count();
    let mut text = format!("{passed} passed");
    for wanted in ["failed", "skipped"] {
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, other) in outcomes {
            if let Some((word, reason)) = other
                && *word == wanted
            {
                by_reason.entry(reason).or_default().push(format!("`{name}`"));
            }
        }
        let count: usize = by_reason.values().map(Vec::len).sum();
        if count > 0 {
            let plain = |reason: &str| reason.replace(['|', '`', '<', '>'], " ");
            let each =
                by_reason.iter().map(|(reason, names)| format!("{} ({})", names.join(", "), plain(reason)));
            text += &format!(", {count} {wanted}: {}", each.collect::<Vec<_>>().join("; "));
        }
    }
    text
}

/// The number before the word, 0 if there is none.
fn count(cell: &str, word: &str) -> u64 {
    let words: Vec<_> = cell.split([' ', ',', ':']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests() -> Vec<String> {
        ["vof/a", "vof/b", "violation/c"].map(str::to_owned).to_vec()
    }

    fn results(text: &str) -> Vec<(PathBuf, String)> {
        vec![("boot.tsv".into(), text.to_owned())]
    }

    const SEVEN: &str =
        "# QEMU 7.2.22\npassed\tvof/a\t1.0\t\nfailed\tvof/b\t1.0\tr3 is 4 | 5\npassed\tviolation/c\t1.0\t\n";

    #[test]
    fn each_version_has_a_column_and_a_later_run_replaces_it() {
        let mut table = Table::read("").unwrap();
        table
            .merge(&tests(), &results("# QEMU 10.0.13\npassed\tvof/a\t1.0\t\npassed\tvof/b\t1.0\t\n"))
            .unwrap();
        table.merge(&tests(), &results(SEVEN)).unwrap();
        let page = table.page(&tests());
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(
            rows,
            [
                "| tests | 7.2.22 | 10.0.13 |",
                "|---|---|---|",
                "| `violation/…` | 1 passed | not run |",
                "| `vof/…` | 1 passed, 1 failed: `vof/b` (r3 is 4   5) | 2 passed |",
                "| all | 2 passed, 1 failed | 2 passed, 0 failed |",
            ]
        );
        let mut again = Table::read(&page).unwrap();
        assert_eq!(again.page(&tests()), page);
        let mended = SEVEN.replace("failed\tvof/b\t1.0\tr3 is 4 | 5", "passed\tvof/b\t1.0\t");
        again.merge(&tests(), &results(&mended)).unwrap();
        assert!(again.page(&tests()).contains("| `vof/…` | 2 passed | 2 passed |"));
    }

    #[test]
    fn tests_skipped_for_one_reason_are_listed_together() {
        let skipped = SEVEN.replace("passed\tvof/a\t1.0\t", "skipped\tvof/a\t0.0\tno KVM");
        let skipped = skipped.replace("failed\tvof/b\t1.0\tr3 is 4 | 5", "skipped\tvof/b\t0.0\tno KVM");
        let mut table = Table::default();
        table.merge(&tests(), &results(&skipped)).unwrap();
        let page = table.page(&tests());
        assert!(page.contains("| `vof/…` | 0 passed, 2 skipped: `vof/a`, `vof/b` (no KVM) |"), "{page}");
        assert!(page.contains("| all | 1 passed, 0 failed, 2 skipped |"), "{page}");
        assert_eq!(Table::read(&page).unwrap().page(&tests()), page);
    }

    #[test]
    fn rows_follow_the_current_groups() {
        let mut table = Table::default();
        table.merge(&tests(), &results(SEVEN)).unwrap();
        let page = table.page(&tests());
        let more = [tests(), vec!["new/d".to_owned()]].concat();
        let fresh = Table::read(&page).unwrap().page(&more);
        assert_ne!(fresh, page);
        assert!(fresh.contains("| `new/…` | not run |"));
        assert!(!Table::read(&page).unwrap().page(&tests()[..2]).contains("violation"));
    }

    #[test]
    fn an_incomplete_list_of_results_is_an_error() {
        for (text, error) in [
            ("passed\tvof/a\t1.0\t\n", "boot.tsv: does not begin with `# QEMU VERSION`"),
            ("# QEMU 8.0\nvof/a was fine\n", "boot.tsv: no result: vof/a was fine"),
            ("# QEMU 8.0\npassed\tvof/z\t1.0\t\n", "vof/z: there is no such test; run `make test` again"),
            ("# QEMU 8.0\npassed\tvof/a\t1.0\t\n", "vof/b: not run on QEMU 8.0"),
        ] {
            let merged = Table::default().merge(&tests(), &results(text));
            assert_eq!(merged.unwrap_err().to_string(), error);
        }
        let cut = "| tests | 7.2.22 |\n|---|---|\n| `vof/…` |\n";
        assert!(matches!(Table::read(cut), Err(TableError::BadRow(_))));
    }
}
