//! Makes the documentation's page from the list and the marks.

use crate::scan::{Mark, Marks};
use postern_cases::{Case, FAMILIES, Scope};
use std::fmt::Write as _;

const HEAD: &str = "# Hostile inputs and responses

`make cases` generates this page from the list in `cases/` and from the tests, each of which names its case; `make check` fails if the page is not up to date. A response is *observed* if the assertions of a test demand it; the test fails if the guest responds in another way.

Levels: **H** host test against a model of a hostile host, **F** fuzz target whose inputs reach the case, **M** QEMU with the emulated ultravisor or a changed tree, **Q** QEMU end to end, with a hostile device if the case needs one, **C** check of the built image.

Responses: **refuse** the device or bridge is not used, and the boot continues; **break** the device is latched broken: the driver resets it and fails its requests, and their memory is not used again before the reset is confirmed; **halt** the run ends with a reason and a failing status; **fail** one request ends with a named error; **drop** the packet or result is discarded and counted; **clamp** the smaller of the host's and the guest's value is used; **retry** the guest repeats the operation a limited number of times; **ignore** the input has no effect; **quarantine** memory in an unknown state is never used again; **fall back** the guest does without the refused part; **work** the input is legal and has to work.
";

/// The whole page.
pub fn page(marks: &Marks) -> String {
    let mut page = HEAD.to_owned();
    for family in FAMILIES {
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "\n## {}\n\n| case | input from the host | required response | observed | level | tests |\n|---|---|---|---|---|---|\n",
            family.title
        );
        for case in family.cases {
            page.push_str(&row(case, marks));
        }
    }
    page
}

fn row(case: &Case, marks: &Marks) -> String {
    let (id, input) = (case.id, case.input);
    let marks: Vec<&Mark> = marks.of(id).collect();
    let levels = match case.scope {
        Scope::NotApplicable(why) => return format!("| {id} | {input} | | not applicable: {why} | | |\n"),
        Scope::Limit(what) => return format!("| {id} | {input} | | limit: {what} | | |\n"),
        Scope::Tried(levels) => levels,
    };
    let required: Vec<_> = case.required.iter().map(|response| response.word()).collect();
    let mut observed: Vec<_> = marks.iter().filter_map(|mark| mark.response).map(|r| r.word()).collect();
    let mut seen: Vec<_> = marks.iter().map(|mark| mark.level.letter()).collect();
    for list in [&mut observed, &mut seen] {
        let mut unique = Vec::new();
        list.retain(|word| {
            !unique.contains(word) && {
                unique.push(word);
                true
            }
        });
    }
    let missing: Vec<_> = levels.iter().map(|l| l.letter()).filter(|letter| !seen.contains(letter)).collect();
    let mut level = seen.join(" ");
    if !missing.is_empty() {
        let _ = write!(level, " (not yet: {})", missing.join(" "));
    }
    let places: Vec<_> = marks.iter().map(|mark| place(mark)).collect();
    let observed = if observed.is_empty() { "none".to_owned() } else { observed.join(", ") };
    format!(
        "| {id} | {input} | {}: {} | {observed} | {} | {} |\n",
        required.join(" or "),
        case.answer,
        level.trim_start(),
        places.join("<br>")
    )
}

fn place(mark: &Mark) -> String {
    let file = &mark.file;
    let short = file
        .trim_end_matches(".rs")
        .replace("/src/", "/")
        .replace("/tests/model/", "/")
        .replace("crates/", "");
    match &mark.test {
        Some(test) => format!("[{short}](../{file}) `{test}`"),
        None => format!("[{short}](../{file})"),
    }
}
