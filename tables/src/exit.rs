//! The exit statuses.

use crate::place::{Missing, Place, wrapped};
use postern_core::exit::{EXPLANATIONS, ExitStatus};

/// The sentence in docs/help.txt.
pub const SENTENCE: Place = Place { first: "A run ends with `EXIT: STATUS=n`:", after: "" };
/// The table in docs/exit-codes.md.
pub const TABLE: Place = Place { first: "| status | meaning |", after: "" };
/// The sentence in README.md, which is written by hand and must name each status.
pub const README: Place = Place { first: "`EXIT: STATUS=n` is the last line", after: "" };

/// Every status with a few words.
pub fn sentence() -> String {
    let statuses: Vec<_> =
        ExitStatus::ALL.iter().map(|status| format!("{} {status}", status.code())).collect();
    let text = format!(
        "{} {}. QEMU exits 0 after status 0, and 1 after any other.",
        SENTENCE.first,
        statuses.join("; ")
    );
    wrapped(&text, 116, "")
}

/// Every status, its meaning, and where to look.
pub fn table() -> String {
    let rows = EXPLANATIONS
        .iter()
        .map(|row| format!("| {} | {} | {} |\n", row.status.code(), row.meaning, row.look_at));
    let rows: String = rows.map(|row| row.replace("|  |", "| |")).collect();
    format!("{} what to look at |\n|---|---|---|\n{rows}", TABLE.first)
}

/// Whether a sentence names exactly the kernel's statuses: the numbers after punctuation and before a word.
pub fn names_all(text: &str) -> Result<bool, Missing> {
    let sentence = README.find(text)?.replace('\n', " ").replace("after anything else", "");
    let words: Vec<&str> = sentence.split(' ').collect();
    let mut found: Vec<u8> = Vec::new();
    for triple in words.windows(3) {
        let after = triple[0].ends_with(['.', ',', ':', ';']);
        let before_word = triple[2].starts_with(|c: char| c.is_ascii_lowercase());
        found.extend(triple[1].parse::<u8>().ok().filter(|_| after && before_word));
    }
    found.sort_unstable();
    Ok(found == ExitStatus::ALL.map(ExitStatus::code))
}

#[cfg(test)]
mod tests {
    use super::names_all;

    #[test]
    fn a_sentence_that_lacks_a_status_or_has_another_is_found() {
        let all = "`EXIT: STATUS=n` is the last line: 0 a, 2 b, 3 c, 4 d, 5 e, 6 f, 7 g, 8 h, 9 i, 10 j, 11 k, 12 l, 13 m, 14 n.\n\n";
        assert_eq!(names_all(all), Ok(true));
        assert_eq!(names_all(&all.replace(", 12 l", "")), Ok(false));
        assert_eq!(names_all(&all.replace("14 n", "14 n, 15 o")), Ok(false));
        assert!(names_all("").is_err());
    }
}
