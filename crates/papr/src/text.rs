//! Text that the host chose, and the lines that it may appear in.
//!
//! A disk's name, a node of the device tree or a word of the command line may hold control characters, newlines, or
//! what looks like a line of this kernel's own. [`HostText`] is the one type that holds such text, and [`Escaped`] the
//! one way to print it: printable ASCII, of bounded length, without a line end. [`SingleLine`] is a second barrier:
//! text written through it stays on one line of printable ASCII.

use arrayvec::ArrayVec;
use core::fmt::{self, Write};

/// Most bytes of a host's text that are kept and shown; `...` replaces the rest.
pub const MAX_TEXT: usize = 64;

/// Bytes from outside, borrowed. Displays as printable ASCII of at most `4 * MAX_TEXT + 3` characters: anything else
/// as Rust escapes it in a byte string, `\` and quotes included.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, more) = match self.0.get(..MAX_TEXT) {
            Some(head) if self.0.len() > MAX_TEXT => (head, "..."),
            _ => (self.0, ""),
        };
        write!(f, "{}{more}", head.escape_ascii())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Text from outside, unchanged, cut after [`MAX_TEXT`] bytes. It prints as [`Escaped`] and in no other way.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HostText {
    /// One byte more than is shown, if the text was longer.
    bytes: ArrayVec<u8, { MAX_TEXT + 1 }>,
}

impl HostText {
    /// Keeps what is shown of `text`.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        Self { bytes: text.iter().copied().take(MAX_TEXT.saturating_add(1)).collect() }
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl PartialEq<str> for HostText {
    /// False of a text that was cut.
    fn eq(&self, other: &str) -> bool {
        self.bytes.len() <= MAX_TEXT && self.bytes.as_slice() == other.as_bytes()
    }
}

impl PartialEq<&str> for HostText {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for HostText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.bytes).fmt(f)
    }
}

impl fmt::Debug for HostText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Escaped(&self.bytes), f)
    }
}

/// A writer whose text stays on one line: it escapes every byte but printable ASCII. The owner writes line ends to the
/// inner writer.
#[derive(Debug)]
pub struct SingleLine<W>(pub W);

impl<W: Write> Write for SingleLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let odd = |c: char| !u8::try_from(c).is_ok_and(is_plain);
        for piece in text.split_inclusive(odd) {
            let plain = piece.trim_end_matches(odd);
            self.0.write_str(plain)?;
            write!(self.0, "{}", piece.as_bytes().get(plain.len()..).unwrap_or_default().escape_ascii())?;
        }
        Ok(())
    }
}

/// Whether a byte can be printed and stays on its line.
#[must_use]
pub const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::{Escaped, HostText, MAX_TEXT, SingleLine};
    use core::fmt::Write;
    use postern_cases::case;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// Reads an escaped text back, by the rules of Rust's byte strings, written anew here.
    fn read_back(shown: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut chars = shown.bytes();
        while let Some(byte) = chars.next() {
            bytes.push(match byte {
                b'\\' => match chars.next()? {
                    b'n' => 10,
                    b't' => 9,
                    b'r' => 13,
                    b'x' => {
                        let digit = |byte: u8| (byte as char).to_digit(16);
                        (digit(chars.next()?)? * 16 + digit(chars.next()?)?) as u8
                    }
                    quoted @ (b'\\' | b'"' | b'\'') => quoted,
                    _ => return None,
                },
                plain => plain,
            });
        }
        Some(bytes)
    }

    fn assert_harmless(shown: &str) {
        assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{shown:?}");
    }

    #[test]
    fn every_byte_is_shown_as_printable_ascii() {
        case!("OUT-01", Work);
        for byte in 0..=u8::MAX {
            let text = HostText::new(&[b'a', byte, b'z']);
            for shown in [text.to_string(), format!("{text:?}"), format!("{:#?}", Some(text.clone()))] {
                assert!(shown.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)), "{shown:?}");
            }
            assert_harmless(&text.to_string());
            assert_eq!(read_back(&text.to_string()), Some(std::vec![b'a', byte, b'z']));
        }
    }

    #[test]
    fn a_line_of_the_kernel_cannot_be_forged() {
        case!("OUT-02", Work);
        for text in
            ["\nEXIT: STATUS=0\n", "\r\npostern: mode=normal\r\n", "\u{2028}EXIT: STATUS=0", "\u{85}x"]
        {
            let shown = HostText::new(text.as_bytes()).to_string();
            assert_harmless(&shown);
            assert_eq!(shown.lines().count(), 1);
            assert_eq!(read_back(&shown).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn a_long_text_is_cut_and_is_equal_to_no_other() {
        case!("OUT-03", Clamp);
        let long = "x".repeat(MAX_TEXT + 1);
        let whole = "x".repeat(MAX_TEXT);
        assert_eq!(HostText::new(whole.as_bytes()).to_string(), whole);
        assert_eq!(HostText::new(long.as_bytes()).to_string(), format!("{whole}..."));
        assert!(HostText::new(whole.as_bytes()) == whole.as_str());
        assert!(HostText::new(long.as_bytes()) != whole.as_str());
        assert!(HostText::new(long.as_bytes()) != long.as_str());
        assert!(HostText::new(b"scratch") == "scratch" && HostText::new(b"scratch\n") != "scratch");
    }

    #[test]
    fn a_single_line_stays_one() {
        case!("OUT-02", Work);
        let mut line = String::new();
        let name = "\nEXIT: STATUS=0\n";
        write!(SingleLine(&mut line), "a{name}b\u{202e}\x1b[2J\u{7f}\t\\").unwrap();
        assert_eq!(line, "a\\nEXIT: STATUS=0\\nb\\xe2\\x80\\xae\\x1b[2J\\x7f\\t\\");
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_printable_and_told_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = Escaped(&bytes).to_string();
            assert_harmless(&shown);
            prop_assert!(shown.len() <= 4 * MAX_TEXT + 3);
            prop_assert_eq!(&shown, &HostText::new(&bytes).to_string());
            let head = bytes.get(..MAX_TEXT).unwrap_or(&bytes);
            let told = if bytes.len() > MAX_TEXT { shown.strip_suffix("...").unwrap() } else { &shown };
            prop_assert_eq!(read_back(told), Some(head.to_vec()));
        }

        #[test]
        fn any_pieces_written_to_a_single_line_stay_on_it(pieces in proptest::collection::vec(any::<String>(), 0..8)) {
            let mut line = String::new();
            for piece in &pieces {
                SingleLine(&mut line).write_str(piece).unwrap();
            }
            assert_harmless(&line);
        }
    }
}
