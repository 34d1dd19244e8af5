//! Names of facts. Only the table makes them, so a fact that is not in the table cannot be stated.

use core::fmt;

/// The name of a fact, in which `N` stands for each of `NUMBERS` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<const NUMBERS: usize>(&'static str);

/// The name of a fact, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    key: &'static str,
    numbers: [usize; 2],
}

impl<const NUMBERS: usize> Key<NUMBERS> {
    /// A row's name. A compile-time error unless `key` has `NUMBERS` places.
    pub(super) const fn new(key: &'static str) -> Self {
        let (mut rest, mut places) = (key.as_bytes(), 0usize);
        while let [first, after @ ..] = rest {
            if *first == b'N' {
                places = places.saturating_add(1);
            }
            rest = after;
        }
        assert!(places == NUMBERS && places <= 2, "as many places for a number as numbers");
        Self(key)
    }
}

impl Key<0> {
    /// The line that states this fact.
    pub fn line(self, value: impl fmt::Display) -> impl fmt::Display {
        Name::from(self).line(value)
    }
}

impl Key<1> {
    /// The name with this number.
    #[must_use]
    pub const fn at(self, number: usize) -> Name {
        Name { key: self.0, numbers: [number, 0] }
    }
}

impl Key<2> {
    /// The name with these numbers.
    #[must_use]
    pub const fn at(self, numbers: [usize; 2]) -> Name {
        Name { key: self.0, numbers }
    }
}

impl From<Key<0>> for Name {
    fn from(key: Key<0>) -> Self {
        Self { key: key.0, numbers: [0; 2] }
    }
}

impl Name {
    /// The line that states this fact.
    pub fn line(self, value: impl fmt::Display) -> impl fmt::Display {
        Line { name: self, value }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.numbers.iter();
        for (index, part) in self.key.split('N').enumerate() {
            if index > 0 {
                write!(f, "{}", numbers.next().unwrap_or(&0))?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

struct Line<V> {
    name: Name,
    value: V,
}

impl<V: fmt::Display> fmt::Display for Line<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postern: {}={}", self.name, self.value)
    }
}

/// Whether `key` is `row` with a decimal number in each place.
pub(super) fn matches(row: &str, key: &str) -> bool {
    let mut parts = row.split('N');
    let Some(mut rest) = parts.next().and_then(|first| key.strip_prefix(first)) else { return false };
    for part in parts {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if number.len() == rest.len() {
            return false;
        }
        let Some(after) = number.strip_prefix(part) else { return false };
        rest = after;
    }
    rest.is_empty()
}
