//! Checks a secure guest's console, which the host can read: each line is in the list of `docs/threat-model.md`, and has
//! no private number.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// The document that has the list.
const DOCUMENT: &str = include_str!("../../../docs/threat-model.md");
/// The heading of the list.
const TITLE: &str = "## What a secure guest's console shows";
/// The last line of the boot stage before UV_ESM. Lines before it are those of an ordinary guest.
const ESM: &str = "boot: UV_ESM for the image";
/// Numbers below this are not treated as addresses.
const LOWEST: u64 = 0x1_0000;
/// Digits of a number of eight bytes.
const WORD: usize = 16;

/// A placeholder for a value in a line of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `{n}`: a decimal number, with a point or without.
    Number,
    /// `{x}`: a number in hexadecimal that is no address.
    Hex,
    /// `{hash}`: hexadecimal digits.
    Hash,
    /// `{pool}`: an address in the pool.
    Pool,
    /// `{image}`: an address in the image.
    Image,
    /// `{tree}`: the address of the tree that UV_ESM was given.
    Tree,
    /// `{rtas}`: the address of RTAS's area, which the host chose.
    Rtas,
    /// `{offset}`: an offset in the image.
    Offset,
    /// `{size}`: bytes, with their unit.
    Size,
    /// `{word}`: letters, digits and `-.:@,/`.
    Word,
    /// `{text}`: printable text of the kernel's or, escaped, of the host's.
    Text,
}

const KINDS: [(&str, Kind); 11] = [
    ("n", Kind::Number),
    ("x", Kind::Hex),
    ("hash", Kind::Hash),
    ("pool", Kind::Pool),
    ("image", Kind::Image),
    ("tree", Kind::Tree),
    ("rtas", Kind::Rtas),
    ("offset", Kind::Offset),
    ("size", Kind::Size),
    ("word", Kind::Word),
    ("text", Kind::Text),
];

impl Kind {
    /// Whether a value may contain a character.
    fn has(self, c: char) -> bool {
        match self {
            Self::Number => c.is_ascii_digit() || c == '.',
            Self::Hash => c.is_ascii_hexdigit(),
            Self::Hex | Self::Pool | Self::Image | Self::Tree | Self::Rtas | Self::Offset => {
                c.is_ascii_hexdigit() || c == 'x'
            }
            Self::Size => c.is_ascii_digit() || c == ' ' || "GMKiBbytes".contains(c),
            Self::Word => c.is_ascii_alphanumeric() || "-.:@,/".contains(c),
            Self::Text => c == ' ' || c.is_ascii_graphic(),
        }
    }

    /// Whether a text of such characters is a valid value, in this machine.
    fn is(self, text: &str, machine: &Machine) -> bool {
        let address = || hex(text.strip_prefix("0x").unwrap_or_default());
        match self {
            Self::Hex => address().is_some(),
            Self::Pool => address().is_some_and(|at| machine.pool.contains(&at)),
            Self::Image => address().is_some_and(|at| machine.image.contains(&at)),
            Self::Tree => address() == Some(machine.tree),
            Self::Rtas => address().is_some(),
            Self::Offset => address().is_some_and(|at| at < machine.image.end - machine.image.start),
            Self::Word | Self::Text => machine.address_in(text).is_none(),
            _ => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Kind),
}

/// The form of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern(Vec<Part>);

impl Pattern {
    /// `None` for a line with an unknown placeholder.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            let (_, kind) = KINDS.iter().find(|(known, _)| *known == name)?;
            parts.extend([Part::Literal(before.to_owned()), Part::Value(*kind)]);
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Some(Self(parts))
    }

    fn fits(&self, text: &str, machine: &Machine) -> bool {
        fits(&self.0, text, machine)
    }
}

fn fits(parts: &[Part], text: &str, machine: &Machine) -> bool {
    match parts.split_first() {
        None => text.is_empty(),
        Some((Part::Literal(literal), others)) => {
            text.strip_prefix(literal.as_str()).is_some_and(|rest| fits(others, rest, machine))
        }
        Some((Part::Value(kind), others)) => {
            let most = text.find(|c| !kind.has(c)).unwrap_or(text.len());
            let ends = (1..=most).rev().filter(|end| text.is_char_boundary(*end));
            ends.into_iter().any(|end| {
                let (value, rest) = text.split_at(end);
                kind.is(value, machine) && fits(others, rest, machine)
            })
        }
    }
}

/// The machine of a secure guest, as the host knows it, and the words that must not be shown.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Bytes of memory, from 0 on.
    pub memory: u64,
    /// Addresses of the image.
    pub image: Range<u64>,
    /// Address of the tree that UV_ESM was given, which the host knows.
    pub tree: u64,
    /// Addresses of the pool.
    pub pool: Range<u64>,
    /// Words of private memory, such as the content of a disk.
    pub secret: HashSet<u64>,
}

impl Machine {
    /// An address of private memory in a text.
    fn address_in(&self, text: &str) -> Option<u64> {
        let numbers = text.split("0x").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            rest.get(..end).unwrap_or_default()
        });
        let long = runs(text).filter(|run| run.len() == WORD);
        let private = |at: &u64| *at >= LOWEST && *at < self.memory && !self.pool.contains(at);
        numbers.chain(long).filter_map(hex).find(private)
    }

    /// A secret word, in either byte order, anywhere in a text.
    fn secret_in(&self, text: &str) -> Option<u64> {
        let windows =
            runs(text).flat_map(|run| (WORD..=run.len()).filter_map(|end| run.get(end - WORD..end)));
        windows
            .filter_map(hex)
            .find(|word| self.secret.contains(word) || self.secret.contains(&word.swap_bytes()))
    }
}

/// The words of eight bytes in some bytes.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word))
}

/// The runs of hexadecimal digits in a text.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| !run.is_empty())
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// A line that a secure guest must not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is not in the list.
    Unlisted(String),
    /// It has this address of private memory.
    Address(u64, String),
    /// It has this word of private data.
    Content(u64, String),
    /// The list cannot be read, or the guest never became secure.
    Nothing,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted(line) => {
                write!(f, "the console shows a line that is not in docs/threat-model.md: {line}")
            }
            Self::Address(at, line) => write!(f, "the console shows the private address {at:#x}: {line}"),
            Self::Content(word, line) => write!(f, "the console shows the private word {word:#018x}: {line}"),
            Self::Nothing => f.write_str("there is no line of a secure guest, or no list of such lines"),
        }
    }
}

/// The lines of a secure guest's console that are not allowed.
#[must_use]
pub fn violations(console: &str, machine: &Machine) -> Vec<Shown> {
    let Some(patterns) = patterns(DOCUMENT) else { return vec![Shown::Nothing] };
    let secure = console.lines().skip_while(|line| !line.starts_with(ESM)).skip(1);
    let (mut found, mut label, mut lines) = (Vec::new(), String::new(), 0u32);
    for line in secure.map(str::trim_end).filter(|line| !line.is_empty()) {
        lines += 1;
        let text = plain(line, &mut label);
        let listed = patterns.iter().any(|pattern| pattern.fits(&text, machine));
        if !listed {
            found.push(Shown::Unlisted(line.to_owned()));
            found.extend(machine.address_in(&text).map(|at| Shown::Address(at, line.to_owned())));
        }
        found.extend(machine.secret_in(&text).map(|word| Shown::Content(word, line.to_owned())));
    }
    if lines == 0 {
        found.push(Shown::Nothing);
    }
    found
}

/// A line without its time. A line of the summary, which has its label in a column, becomes the log's line.
fn plain(line: &str, label: &mut String) -> String {
    if let Some((_, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        return rest.to_owned();
    }
    let Some(rest) = line.strip_prefix("  ") else { return line.to_owned() };
    let (name, text) = rest.split_once("  ").unwrap_or(("", rest));
    if !name.is_empty() {
        name.clone_into(label);
    }
    format!("{label}: {}", text.trim_start())
}

/// The list: the first column of a table, in backquotes. `None` if there is no list, or a line cannot be read.
fn patterns(document: &str) -> Option<Vec<Pattern>> {
    let section = document.split_once(TITLE)?.1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let list: Option<Vec<_>> = rows.map(|(pattern, _)| Pattern::parse(pattern)).collect();
    list.filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let secret = HashSet::from([0x1122_3344_5566_7788]);
        Machine {
            memory: 512 << 20,
            image: 0x40_0000..0xb0_0000,
            tree: 0x79_0000,
            pool: 0xc0_0000..0x140_0000,
            secret,
        }
    }

    #[test]
    fn the_list_can_be_read_and_has_the_last_line() {
        let list = patterns(DOCUMENT).expect("a list");
        assert!(list.iter().any(|pattern| pattern.fits("EXIT: STATUS=0", &machine())));
        assert!(!list.iter().any(|pattern| pattern.fits("EXIT: STATUS=0x500000", &machine())));
        assert_eq!(Pattern::parse("a {nobody} b"), None);
    }

    #[test]
    fn addresses_must_lie_in_their_ranges() {
        let pattern = Pattern::parse("pool: {pool}, {size}: {text}").expect("a pattern");
        assert!(pattern.fits("pool: 0xc00000, 8 MiB: every byte verified", &machine()));
        assert!(!pattern.fits("pool: 0x500000, 8 MiB: every byte verified", &machine()));
        assert!(!pattern.fits("pool: 0xc00000, 8 MiB: the stack is at 0x9bf2d0", &machine()));
        assert!(!pattern.fits("pool: 0xc00000, 8 MiB: 00000000009bf2d0", &machine()));
    }

    #[test]
    fn private_numbers_are_found_in_any_line() {
        let console = "boot: UV_ESM for the image at 0x400000\n\
                       EXIT: STATUS=0\n\
                       [ 0.1] any: 0x00000000009bf2d0\n\
                       postern: blk0.sha256=aa8877665544332211\n";
        let found = violations(console, &machine());
        let is = |wanted: fn(&Shown) -> bool| found.iter().any(wanted);
        assert!(is(|shown| matches!(shown, Shown::Address(0x9b_f2d0, _))));
        assert!(is(|shown| matches!(shown, Shown::Content(0x8877_6655_4433_2211, _))));
        assert!(is(|shown| matches!(shown, Shown::Unlisted(_))));
        assert_eq!(violations("EXIT: STATUS=0\n", &machine()), [Shown::Nothing]);
    }

    #[test]
    fn a_line_of_the_summary_becomes_the_log_s_line() {
        let mut label = String::new();
        assert_eq!(plain("  pool use    10 of 128", &mut label), "pool use: 10 of 128");
        assert_eq!(plain("              and more", &mut label), "pool use: and more");
        assert_eq!(plain("[  0.1] cpus: 2", &mut label), "cpus: 2");
    }
}
