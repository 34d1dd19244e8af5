//! Text between the marks of each format.

use core::fmt::{self, Write};

/// Text that is not markup, in an element or an attribute.
pub(crate) struct Html<T>(pub T);

/// Text between the quotes of a JSON string (RFC 8259, section 7).
pub(crate) struct Json<T>(pub T);

struct Replace<'a, 'f, F>(&'a mut fmt::Formatter<'f>, F);

impl<F: Fn(char, &mut fmt::Formatter<'_>) -> fmt::Result> Write for Replace<'_, '_, F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| (self.1)(c, self.0))
    }
}

impl<T: fmt::Display> fmt::Display for Html<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |c: char, f: &mut fmt::Formatter<'_>| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER),
            c => f.write_char(c),
        };
        write!(Replace(f, one), "{}", self.0)
    }
}

impl<T: fmt::Display> fmt::Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |c: char, f: &mut fmt::Formatter<'_>| match c {
            '"' => f.write_str("\\\""),
            '\\' => f.write_str("\\\\"),
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c)),
            c => f.write_char(c),
        };
        write!(Replace(f, one), "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Html, Json};
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};

    proptest! {
        #[test]
        fn any_text_is_what_another_reader_of_json_reads(text in any::<String>()) {
            let read: String = serde_json::from_str(&format!("\"{}\"", Json(&text))).unwrap();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn no_text_ends_an_element_or_an_attribute(text in any::<String>()) {
            let shown = Html(&text).to_string();
            prop_assert!(!shown.contains(['<', '>', '"', '\'']) && !shown.contains(char::is_control), "{shown:?}");
        }
    }
}
