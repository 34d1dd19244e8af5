//! Finds the marks in the sources: which test belongs to which case.

use postern_cases::{Level, Response, Scope, all, find};
use std::fmt;
use std::path::{Path, PathBuf};

/// Folders with sources of tests.
const FOLDERS: [&str; 8] =
    ["boot", "crates", "kernel", "harness", "ultravisor", "adversary", "fuzz", "scripts"];

/// One mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The case.
    pub id: &'static str,
    /// The demanded response; a fuzz target demands none in particular.
    pub response: Option<Response>,
    /// Where it is tested.
    pub level: Level,
    /// File, relative to the top of the repository.
    pub file: String,
    /// The test function, if there is one.
    pub test: Option<String>,
}

/// A case without a test at a required level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The case.
    pub id: &'static str,
    /// The level.
    pub level: Level,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no test at level {}", self.id, self.level.letter())
    }
}

/// All marks, in the order of files and lines.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// The valid marks.
    pub found: Vec<Mark>,
    /// The errors of the others.
    pub wrong: Vec<String>,
}

impl Marks {
    /// Reads every source below `top`.
    pub fn find(top: &Path) -> Result<Self, String> {
        let mut marks = Self::default();
        for folder in FOLDERS {
            let mut files = Vec::new();
            list(&top.join(folder), &mut files)?;
            files.sort();
            for path in files {
                let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy();
                marks.read(&name, &text);
            }
        }
        Ok(marks)
    }

    fn read(&mut self, file: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let rust = file.ends_with(".rs");
        for (index, line) in lines.iter().enumerate() {
            if rust && line.trim_start().starts_with("//") {
                continue;
            }
            if let Some((_, arguments)) = line.split_once("case!(\"") {
                let test = test_around(&lines, index);
                match mark(arguments) {
                    Some((_, _, Level::H)) if test.is_none() => {
                        self.wrong.push(format!("{file}:{}: a mark outside a test", index + 1));
                    }
                    Some((id, response, level)) => {
                        let (file, response) = (file.to_owned(), Some(response));
                        self.found.push(Mark { id, response, level, file, test });
                    }
                    None => self.wrong.push(format!("{file}:{}: a mark that cannot be read", index + 1)),
                }
            }
            if line.contains("fuzzed!(") {
                let rest = lines[index..].join(" ");
                let inside = rest.split_once("fuzzed!(").and_then(|(_, rest)| rest.split_once(')'));
                for id in inside.map_or("", |(inside, _)| inside).split('"').skip(1).step_by(2) {
                    match find(id) {
                        Some(case) => self.found.push(Mark {
                            id: case.id,
                            response: None,
                            level: Level::F,
                            file: file.to_owned(),
                            test: None,
                        }),
                        None => self.wrong.push(format!("{file}:{}: no case {id}", index + 1)),
                    }
                }
            }
        }
    }

    /// The marks of one case.
    pub fn of(&self, id: &str) -> impl Iterator<Item = &Mark> {
        self.found.iter().filter(move |mark| mark.id == id)
    }

    /// The cases without a test at a required level.
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for case in all() {
            let Scope::Tried(levels) = case.scope else { continue };
            for &level in levels {
                if !self.of(case.id).any(|mark| mark.level == level) {
                    gaps.push(Gap { id: case.id, level });
                }
            }
        }
        gaps
    }
}

/// Parses `RNG-01", Break)` or `RNG-01", Break, Q)`; any text may follow.
fn mark(text: &str) -> Option<(&'static str, Response, Level)> {
    let (id, rest) = text.split_once('"')?;
    let (arguments, _) = rest.strip_prefix(',')?.split_once(')')?;
    let mut words = arguments.split(',').map(str::trim);
    let (response, level) = (words.next()?, words.next().unwrap_or("H"));
    let case = find(id)?;
    let response = case.required.iter().find(|known| format!("{known:?}") == response)?;
    let levels = [Level::H, Level::F, Level::M, Level::Q, Level::C];
    Some((case.id, *response, levels.into_iter().find(|known| known.letter() == level)?))
}

/// The name of the `#[test]` function that line `index` is in.
fn test_around(lines: &[&str], index: usize) -> Option<String> {
    let at = lines[..index].iter().rposition(|line| function(line).is_some())?;
    let name = function(lines[at])?;
    let above = lines[..at].iter().rev().map(|line| line.trim());
    let mut attributes = above.take_while(|line| line.starts_with('#') || line.starts_with("//"));
    attributes.any(|line| line == "#[test]").then(|| name.to_owned())
}

/// The name of the function that begins in a line.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    // A missing folder has no marks.
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && name != "corpus" {
                list(&path, files)?;
            }
        } else if name.ends_with(".rs") || name.ends_with(".sh") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Marks {
        let mut marks = Marks::default();
        marks.read("kernel/x.rs", text);
        marks
    }

    #[test]
    fn every_case_has_a_test_on_the_host_where_it_should() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let marks = Marks::find(top).unwrap();
        assert_eq!(marks.wrong, [""; 0]);
        let gaps: Vec<_> = marks.gaps().into_iter().filter(|gap| gap.level == Level::H).collect();
        assert_eq!(gaps, []);
    }

    #[test]
    fn names_are_unique_and_every_case_has_a_right_response() {
        let mut names: Vec<_> = all().map(|case| case.id).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for case in all() {
            match case.scope {
                Scope::Tried(levels) => {
                    assert!(!levels.is_empty() && !case.required.is_empty() && !case.answer.is_empty());
                }
                Scope::NotApplicable(why) | Scope::Limit(why) => assert!(!why.is_empty(), "{}", case.id),
            }
        }
    }

    #[test]
    fn a_mark_in_a_test_counts_with_its_level() {
        let found =
            marks("#[test]\n#[should_panic]\nfn it_breaks() {\n    case!(\"RNG-01\", Break);\n}\n").found;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].id, found[0].response, found[0].level),
            ("RNG-01", Some(Response::Break), Level::H)
        );
        assert_eq!(found[0].test.as_deref(), Some("it_breaks"));
        let found = marks("const X: Y = Y { case: case!(\"RNG-19\", Break, Q) };").found;
        assert_eq!((found[0].level, &found[0].test), (Level::Q, &None));
    }

    #[test]
    fn an_invalid_mark_is_refused() {
        for text in [
            "fn helper() {\n    case!(\"RNG-01\", Break);\n}",
            "#[test]\nfn t() {\n    case!(\"RNG-99\", Break);\n}",
            "#[test]\nfn t() {\n    case!(\"RNG-01\", Refuse);\n}",
        ] {
            let marks = marks(text);
            assert_eq!((marks.found.len(), marks.wrong.len()), (0, 1), "{text}");
        }
        assert!(marks("// case!(\"RNG-01\", Break)").found.is_empty());
    }

    #[test]
    fn a_missing_test_is_a_gap() {
        let gaps = marks("").gaps();
        assert!(gaps.contains(&Gap { id: "RNG-01", level: Level::H }));
        let marks =
            marks("#[test]\nfn t() {\n    case!(\"RNG-01\", Break);\n}\nfuzzed!(\n    \"RNG-01\",\n);");
        assert!(marks.gaps().iter().all(|gap| gap.id != "RNG-01"));
    }
}
