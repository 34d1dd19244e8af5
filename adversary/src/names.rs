//! Names of protocol violations, for the command line.

use crate::violation::ProtocolViolation;
use std::fmt;
use std::str::FromStr;

/// No violation has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownViolation(pub String);

impl fmt::Display for UnknownViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no protocol violation is called `{}`; there are:", self.0)?;
        ProtocolViolation::ALL.iter().try_for_each(|violation| {
            write!(f, "\n  {:14} {}", violation.name(), violation.description().text)
        })
    }
}

impl std::error::Error for UnknownViolation {}

impl ProtocolViolation {
    /// Its name: `rng-01`, `blk-05-empty`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}{}", self.description().id.to_lowercase(), self.suffix())
    }

    /// Whether a disk can commit it.
    #[must_use]
    pub fn is_for_disks(self) -> bool {
        !self.description().id.starts_with("NET-") && self != Self::Neg07
    }

    /// Whether a card can.
    #[must_use]
    pub fn is_for_cards(self) -> bool {
        !self.description().id.starts_with("BLK-")
    }
}

impl FromStr for ProtocolViolation {
    type Err = UnknownViolation;

    fn from_str(name: &str) -> Result<Self, UnknownViolation> {
        Self::ALL
            .into_iter()
            .find(|violation| violation.name() == name)
            .ok_or_else(|| UnknownViolation(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_violation_has_a_name_of_its_own_that_is_read_back() {
        let names: BTreeSet<String> =
            ProtocolViolation::ALL.into_iter().map(ProtocolViolation::name).collect();
        assert_eq!(names.len(), ProtocolViolation::ALL.len());
        for violation in ProtocolViolation::ALL {
            assert_eq!(violation.name().parse(), Ok(violation));
            assert!(violation.is_for_disks() || violation.is_for_cards(), "{}", violation.name());
        }
        assert!("rng-11-back".parse::<ProtocolViolation>().is_ok());
    }

    #[test]
    fn the_error_for_an_unknown_name_lists_all_names() {
        let said = "nothing".parse::<ProtocolViolation>().expect_err("unknown").to_string();
        assert!(said.contains("`nothing`") && said.contains("net-14"), "{said}");
    }
}
