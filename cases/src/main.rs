//! `postern-cases write` writes `docs/hostile-cases.md`; `postern-cases check` checks that the file agrees with the
//! sources; `postern-cases gaps` lists the cases without a test. All run at the top of the repository.

mod render;
mod scan;

use scan::Marks;
use std::path::Path;
use std::process::ExitCode;

const PAGE: &str = "docs/hostile-cases.md";

fn main() -> ExitCode {
    let top = Path::new(".");
    let marks = match Marks::find(top) {
        Ok(marks) => marks,
        Err(error) => return fail(&[error]),
    };
    let page = render::page(&marks);
    match std::env::args().nth(1).as_deref() {
        Some("write") => match std::fs::write(top.join(PAGE), page) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&[format!("{PAGE}: {error}")]),
        },
        Some("check") => {
            let mut wrong = marks.wrong.clone();
            if std::fs::read_to_string(top.join(PAGE)).ok().as_deref() != Some(&page) {
                wrong.push(format!("{PAGE} is not what the sources say: run 'make cases'"));
            }
            if wrong.is_empty() { ExitCode::SUCCESS } else { fail(&wrong) }
        }
        Some("gaps") => {
            let gaps: Vec<String> = marks.gaps().iter().map(ToString::to_string).collect();
            if gaps.is_empty() { ExitCode::SUCCESS } else { fail(&gaps) }
        }
        _ => fail(&["usage: postern-cases write|check|gaps".to_owned()]),
    }
}

fn fail(lines: &[String]) -> ExitCode {
    for line in lines {
        eprintln!("cases: {line}");
    }
    ExitCode::FAILURE
}
