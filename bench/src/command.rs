//! The program's command line.

use crate::plan::{Effort, Group};
use std::path::{Path, PathBuf};

/// The usage text.
pub const HELP: &str = "postern-bench [quick] [disk|network|start|instructions|scaling]... [to=FOLDER]
    measures everything, or the named groups, and writes FOLDER/benchmarks.{md,json,svg}
postern-bench redraw FOLDER
    draws charts and tables again from FOLDER/benchmarks.json
postern-bench compare ROUNDS IMAGE IMAGE [disk|network|start|instructions]...
    measures two images of Postern in turn, bounced";
/// The usual folder of a report.
pub const FOLDER: &str = "build/bench";
/// The folder of the published report, which must be complete.
pub const KEPT: &str = "docs";

/// One task.
#[derive(Debug)]
pub enum Command {
    /// Measure and report.
    Bench { effort: Effort, only: Vec<Group>, folder: PathBuf },
    /// Write the report of this folder again from its figures.
    Redraw(PathBuf),
    /// Compare two images.
    Compare { rounds: usize, images: [PathBuf; 2], only: Vec<Group> },
    /// Print [`HELP`].
    Help,
}

/// Parses the program's arguments.
///
/// # Errors
/// A message about the first wrong argument.
pub fn parse(words: &[String]) -> Result<Command, String> {
    match words {
        [first, rest @ ..] if first == "redraw" => match rest {
            [folder] => Ok(Command::Redraw(folder.into())),
            _ => Err("redraw: expected one folder".to_owned()),
        },
        [first, rest @ ..] if first == "compare" => match rest {
            [rounds, a, b, groups @ ..] => Ok(Command::Compare {
                rounds: rounds
                    .parse()
                    .map_err(|_| format!("compare: '{rounds}' is not a number of rounds"))?,
                images: [a.into(), b.into()],
                only: groups.iter().map(|word| group(word)).collect::<Result<_, _>>()?,
            }),
            _ => Err("compare: expected a number of rounds and two images".to_owned()),
        },
        _ => bench(words),
    }
}

fn bench(words: &[String]) -> Result<Command, String> {
    let (mut effort, mut only, mut folder) = (Effort::FULL, Vec::new(), PathBuf::from(FOLDER));
    for word in words {
        match word.as_str() {
            "quick" => effort = Effort::QUICK,
            "help" | "--help" | "-h" => return Ok(Command::Help),
            other => match other.strip_prefix("to=") {
                Some("") => return Err("to=: no folder".to_owned()),
                Some(to) => folder = to.into(),
                None => only.push(group(other)?),
            },
        }
    }
    if folder == Path::new(KEPT) && !only.is_empty() {
        return Err("KEEP=docs needs a complete report: leave out ONLY".to_owned());
    }
    Ok(Command::Bench { effort, only, folder })
}

fn group(word: &str) -> Result<Group, String> {
    Group::parse(word)
        .ok_or_else(|| format!("no group is called '{word}': disk, network, start, instructions or scaling"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &str) -> Result<Command, String> {
        parse(&words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn groups_effort_and_folder_are_taken_in_any_order() {
        let Ok(Command::Bench { effort, only, folder }) = said("disk to=/tmp/x quick start") else {
            panic!("no bench")
        };
        assert_eq!(
            (effort.rounds, only, folder),
            (Effort::QUICK.rounds, vec![Group::Disk, Group::Start], "/tmp/x".into())
        );
        assert!(
            matches!(said(""), Ok(Command::Bench { only, folder, .. }) if only.is_empty() && folder == Path::new(FOLDER))
        );
    }

    #[test]
    fn unknown_words_are_named() {
        assert!(said("quick netwrok").unwrap_err().contains("'netwrok'"));
        assert!(said("compare many a b").unwrap_err().contains("'many'"));
        assert!(said("compare 3 a b dsk").unwrap_err().contains("'dsk'"));
        assert!(said("compare 3 a").is_err() && said("redraw").is_err() && said("redraw a b").is_err());
        assert!(said("to=").is_err());
    }

    #[test]
    fn part_of_a_report_is_not_kept() {
        assert!(said("to=docs quick").is_ok());
        assert!(said("to=docs/ disk").unwrap_err().contains("KEEP"));
    }
}
