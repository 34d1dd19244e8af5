//! The tests that `test=` selects. The command line is read before there is a heap, so nothing here allocates.

use super::{Entry, TESTS};

/// Some of the tests, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection([bool; TESTS.len()]);

/// The number, from 1, of an item that selects no test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchTest(pub usize);

impl Default for Selection {
    fn default() -> Self {
        Self([false; TESTS.len()])
    }
}

impl Selection {
    /// Reads a list of names, of patterns in which `*` stands for any characters, and of `all`. Each item must select
    /// at least one test. A test that several items select runs once.
    ///
    /// # Errors
    /// An item selects no test.
    pub fn parse(list: &str) -> Result<Self, NoSuchTest> {
        let mut selection = Self::default();
        for (number, item) in (1..).zip(list.split(',')) {
            let mut found = false;
            for (chosen, entry) in selection.0.iter_mut().zip(&TESTS) {
                if item == "all" || fits(item.as_bytes(), entry.name.as_bytes()) {
                    (*chosen, found) = (true, true);
                }
            }
            if !found {
                return Err(NoSuchTest(number));
            }
        }
        Ok(selection)
    }

    /// The selected tests.
    pub fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        self.0.iter().zip(&TESTS).filter(|(chosen, _)| **chosen).map(|(_, entry)| entry)
    }

    /// Whether no test is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.0.contains(&true)
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any number of characters.
#[must_use]
pub fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => fits(rest, name),
        (Some((b'*', rest)), Some((_, after))) => fits(rest, name) || fits(pattern, after),
        (Some((wanted, rest)), Some((found, after))) => wanted == found && fits(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{NoSuchTest, Selection, TESTS, fits};
    use std::vec::Vec;

    fn names(list: &str) -> Result<Vec<&'static str>, NoSuchTest> {
        Ok(Selection::parse(list)?.entries().map(|entry| entry.name).collect())
    }

    #[test]
    fn names_patterns_and_all_mean_tests_in_the_order_of_the_table() {
        assert_eq!(names("blk/read"), Ok(["blk/read"].to_vec()));
        assert_eq!(names("net/udp,blk/read,net/udp"), Ok(["blk/read", "net/udp"].to_vec()));
        let all: Vec<&str> = TESTS.iter().map(|entry| entry.name).collect();
        for list in ["all", "*", "*/*", "blk/id,all"] {
            assert_eq!(names(list), Ok(all.clone()), "{list}");
        }
        let blk: Vec<&str> = all.iter().copied().filter(|name| name.starts_with("blk/")).collect();
        assert!(blk.len() > 3);
        assert_eq!(names("blk/*"), Ok(blk));
    }

    #[test]
    fn an_item_that_means_no_test_is_told_by_its_number() {
        for (list, number) in [
            ("", 1),
            ("blk", 1),
            ("blk/read,", 2),
            ("all,x", 2),
            ("blk/rea", 1),
            ("*xyz*", 1),
            ("blk/read,net/*,ALL", 3),
        ] {
            assert_eq!(names(list), Err(NoSuchTest(number)), "{list}");
        }
        assert!(Selection::default().is_empty() && !Selection::parse("all").unwrap().is_empty());
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [("a*", "a"), ("*a", "ba"), ("a*c", "abbc"), ("**", ""), ("a*b*c", "axbyc")] {
            assert!(fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*b", "a"), ("", "a"), ("?", "a"), ("a*c", "abcd")] {
            assert!(!fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }
}
