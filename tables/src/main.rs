//! `postern-tables write` writes the lists in docs/ that are generated from tables of the code. `postern-tables check`
//! checks that they are up to date, and that every printed fact is in a table. Both run at the top of the repository.

mod exit;
mod facts;
mod guest_tests;
mod place;
mod strays;
mod words;

use place::{Missing, Place};
use std::path::Path;
use std::process::ExitCode;

/// A document, and its lists.
type Document = (&'static str, Vec<(Place, String)>);

fn documents() -> Vec<Document> {
    vec![
        ("docs/guest-contract.md", vec![(facts::TABLE, facts::table())]),
        (
            "docs/help.txt",
            vec![
                (words::PRODUCT, words::product()),
                (words::TEST_IMAGE, words::test_image()),
                (exit::SENTENCE, exit::sentence()),
                (facts::SENTENCE, facts::sentence()),
            ],
        ),
        ("docs/exit-codes.md", vec![(exit::TABLE, exit::table())]),
    ]
}

fn main() -> ExitCode {
    let write = match std::env::args().nth(1).as_deref() {
        Some("write") => true,
        Some("check") => false,
        _ => return fail(&["usage: postern-tables write|check".to_owned()]),
    };
    let mut wrong = Vec::new();
    for (file, lists) in documents() {
        if let Err(error) = document(file, &lists, write) {
            wrong.push(format!("{file}: {error}"));
        }
    }
    if let Err(error) = whole(guest_tests::FILE, &guest_tests::table(), write) {
        wrong.push(format!("{}: {error}", guest_tests::FILE));
    }
    match std::fs::read_to_string("README.md").map(|text| exit::names_all(&text)) {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => wrong.push("README.md: not exactly the exit statuses of the kernel".to_owned()),
        Ok(Err(error)) => wrong.push(format!("README.md: {error}")),
        Err(error) => wrong.push(format!("README.md: {error}")),
    }
    match strays::find(Path::new(".")) {
        Ok(strays) => wrong.extend(strays),
        Err(error) => wrong.push(error.to_string()),
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { fail(&wrong) }
}

/// A fault of a document.
enum Wrong {
    Io(std::io::Error),
    Missing(Missing),
    Stale,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Missing(error) => write!(f, "{error}"),
            Self::Stale => f.write_str("is not what the tables of the code say: run 'make lists'"),
        }
    }
}

fn document(file: &str, lists: &[(Place, String)], write: bool) -> Result<(), Wrong> {
    let old = std::fs::read_to_string(file).map_err(Wrong::Io)?;
    let mut new = old.clone();
    for (place, list) in lists {
        new = place.replace(&new, list).map_err(Wrong::Missing)?;
    }
    match (new == old, write) {
        (true, _) => Ok(()),
        (false, true) => std::fs::write(file, new).map_err(Wrong::Io),
        (false, false) => Err(Wrong::Stale),
    }
}

/// A file that is generated as a whole.
fn whole(file: &str, new: &str, write: bool) -> Result<(), Wrong> {
    if std::fs::read_to_string(file).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if write { std::fs::write(file, new).map_err(Wrong::Io) } else { Err(Wrong::Stale) }
}

fn fail(lines: &[String]) -> ExitCode {
    for line in lines {
        eprintln!("tables: {line}");
    }
    ExitCode::FAILURE
}
