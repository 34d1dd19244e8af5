//! The words of the command line, as docs/help.txt shows them.

use crate::place::{Place, wrapped};
use postern_core::cmdline::words::{Help, OPTION_HELP, STEP_HELP, TEST_OPTION_HELP, TEST_STEP_HELP};

/// The product's words.
pub const PRODUCT: Place = Place { first: "Words of the kernel's command line:", after: "" };
/// Words that only the test image knows.
pub const TEST_IMAGE: Place = Place { first: "Words that only build/postern-test.elf knows", after: "" };

const WIDTH: usize = 116;

/// The product's words: `run=` first, with its steps.
pub fn product() -> String {
    let mut text = format!("{}\n", PRODUCT.first);
    let run = |option: &&Help| option.word.starts_with("run=");
    for option in OPTION_HELP.iter().filter(run) {
        text += &entry(option, 2, 22);
    }
    for step in &STEP_HELP {
        text += &entry(step, 8, 12);
    }
    for option in OPTION_HELP.iter().filter(|option| !run(option)) {
        text += &entry(option, 2, 22);
    }
    text
}

/// The test image's words.
pub fn test_image() -> String {
    let mut text =
        format!("{} (the product refuses them with status 3):\n  run=STEP,STEP,...\n", TEST_IMAGE.first);
    for step in &TEST_STEP_HELP {
        text += &entry(step, 8, if step.word.starts_with("breach-") { 28 } else { 12 });
    }
    for option in &TEST_OPTION_HELP {
        text += &entry(option, 2, 22);
    }
    text
}

/// A word, and its help in a separate column.
fn entry(help: &Help, indent: usize, column: usize) -> String {
    let before = " ".repeat(indent);
    let after = " ".repeat(indent + column + 2);
    let head = format!("{before}{:column$}  ", help.word);
    let body = wrapped(help.help, WIDTH - after.len().max(head.len()), "");
    let mut lines = body.lines();
    let first = lines.next().unwrap_or_default();
    let rest: String = lines.map(|line| format!("{after}{line}\n")).collect();
    format!("{head}{first}\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::entry;
    use postern_core::cmdline::words::Help;

    #[test]
    fn help_stands_in_a_column_and_no_line_is_too_long() {
        let help = "a word of eight ".repeat(20);
        let text = entry(&Help { word: "svm=on", help: help.leak() }, 2, 22);
        assert!(text.starts_with("  svm=on                  a word"), "{text}");
        for line in text.lines().skip(1) {
            assert!(line.starts_with(&" ".repeat(26)) && line.len() <= 116, "{line}");
        }
        assert_eq!(text.split_whitespace().count(), 81);
    }
}
