//! The place of a list in a document.

use std::fmt;

/// A list begins with a line that starts with `first`, and ends before the line that starts with `after`; an empty
/// `after` is an empty line. Everything between is generated.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// How its first line starts.
    pub first: &'static str,
    /// How the line after it starts.
    pub after: &'static str,
}

/// A document has no such list, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(&'static str);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not exactly one list that starts with {:?} and ends", self.0)
    }
}

impl Place {
    /// `text` with `list` in this place.
    pub fn replace(self, text: &str, list: &str) -> Result<String, Missing> {
        let (lines, start, len) = self.lines(text)?;
        Ok(lines[..start].concat() + list + &lines[start + len..].concat())
    }

    /// The text in this place.
    pub fn find(self, text: &str) -> Result<String, Missing> {
        let (lines, start, len) = self.lines(text)?;
        Ok(lines[start..start + len].concat())
    }

    /// All lines, the number of the first in this place, and how many there are.
    fn lines(self, text: &str) -> Result<(Vec<&str>, usize, usize), Missing> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let starts: Vec<usize> = (0..lines.len()).filter(|&n| lines[n].starts_with(self.first)).collect();
        let [start] = starts[..] else { return Err(Missing(self.first)) };
        let ends =
            |line: &&str| if self.after.is_empty() { *line == "\n" } else { line.starts_with(self.after) };
        let len = lines[start..].iter().position(ends).ok_or(Missing(self.first))?;
        Ok((lines, start, len))
    }
}

/// The words of `text` in lines of at most `width` characters; lines after the first begin with `indent`.
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| line.len() + 1 + word.len() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{Missing, Place, wrapped};

    const PLACE: Place = Place { first: "| key", after: "" };

    #[test]
    fn a_list_is_replaced_and_nothing_else() {
        let text = "a\n\n| key | x |\n| old |\n\nz\n";
        assert_eq!(
            PLACE.replace(text, "| key | x |\n| new |\n").as_deref(),
            Ok("a\n\n| key | x |\n| new |\n\nz\n")
        );
    }

    #[test]
    fn a_document_without_the_list_or_with_two_is_an_error() {
        for text in ["", "a\n\n", "| key\n", "| key\n\n| key\n\n"] {
            assert_eq!(PLACE.replace(text, ""), Err(Missing("| key")), "{text:?}");
        }
    }

    #[test]
    fn no_line_is_longer_than_it_may_be() {
        assert_eq!(wrapped("aa bb cc dd", 5, ""), "aa bb\ncc dd\n");
        assert_eq!(wrapped("aa bb cc", 5, "  "), "aa bb\n  cc\n");
    }
}
