//! The plain lines of a guest's console: `postern: key=value` facts and `EXIT: STATUS=n`.

use std::collections::BTreeMap;

/// A guest's statements about itself. They are not trusted: observers outside the guest check them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    facts: BTreeMap<String, String>,
    /// The status of the one `EXIT: STATUS=` line; none when there is no such line, or more than one.
    pub exit_status: Option<u8>,
    /// Lines that begin with `EXIT: STATUS=`.
    pub exit_lines: usize,
}

impl Report {
    /// Reads a console log.
    #[must_use]
    pub fn parse(log: &str) -> Self {
        let mut report = Self::default();
        for line in log.lines() {
            report.take(line);
        }
        report
    }

    fn take(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(status) = line.strip_prefix("EXIT: STATUS=") {
            self.exit_lines += 1;
            self.exit_status = status.parse().ok().filter(|_| self.exit_lines == 1);
        } else if let Some((key, value)) = fact(line) {
            self.facts.insert(key.to_owned(), value.to_owned());
        }
    }

    /// The last value that was stated for `key`.
    #[must_use]
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.facts.get(key).map(String::as_str)
    }

    /// Every key with the last value that was stated for it.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.facts.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A fact that is a number, decimal or with `0x`.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        let text = self.fact(key)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }
}

/// A `postern: key=value` line's key and value.
#[must_use]
pub fn fact(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim_end().strip_prefix("postern: ")?.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!key.is_empty() && key.chars().all(plain)).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_and_status_are_found_among_other_lines() {
        let report = Report::parse(
            "SLOF**\r\n[    0.1] INFO pool\r\npostern: pool.base=0x2000000\r\npostern: pool.bytes=8388608\r\n\
             postern: this is = a sentence\r\npostern: mode=normal\r\nEXIT: STATUS=0\r\n",
        );
        assert_eq!(report.number("pool.base"), Some(0x200_0000));
        assert_eq!(report.number("pool.bytes"), Some(8 << 20));
        assert_eq!(report.fact("mode"), Some("normal"));
        assert_eq!(report.number("mode"), None);
        assert_eq!(report.fact("this is "), None);
        assert_eq!(report.exit_status, Some(0));
    }

    #[test]
    fn a_guest_that_does_not_finish_has_no_status() {
        assert_eq!(Report::parse("postern: mode=normal\nEXIT: STATUS=").exit_status, None);
        assert_eq!(Report::parse("xEXIT: STATUS=0\nEXIT: STATUS=300").exit_status, None);
    }

    #[test]
    fn the_last_statement_counts() {
        let report = Report::parse("postern: mode=a\npostern: mode=b\nEXIT: STATUS=9\n");
        assert_eq!((report.fact("mode"), report.exit_status), (Some("b"), Some(9)));
    }

    #[test]
    fn more_than_one_status_is_none() {
        for log in [
            "EXIT: STATUS=0\nEXIT: STATUS=9\n",
            "EXIT: STATUS=0\nEXIT: STATUS=0\n",
            "EXIT: STATUS=x\nEXIT: STATUS=0\n",
        ] {
            let report = Report::parse(log);
            assert_eq!((report.exit_status, report.exit_lines), (None, 2));
        }
    }
}
