//! Names of protocol violations, for the command line.

use crate::violation::ProtocolViolation;
use std::fmt;
use std::str::FromStr;

/// No violation has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLie(pub String);

impl fmt::Display for UnknownLie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no lie is called `{}`; there are:", self.0)?;
        ProtocolViolation::ALL
            .iter()
            .try_for_each(|lie| write!(f, "\n  {:14} {}", lie.name(), lie.told().text))
    }
}

impl std::error::Error for UnknownLie {}

impl ProtocolViolation {
    /// Its name: `rng-01`, `blk-05-empty`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}{}", self.told().id.to_lowercase(), self.suffix())
    }

    /// Whether a disk can commit it.
    #[must_use]
    pub fn is_for_disks(self) -> bool {
        !self.told().id.starts_with("NET-") && self != Self::Neg07
    }

    /// Whether a card can.
    #[must_use]
    pub fn is_for_cards(self) -> bool {
        !self.told().id.starts_with("BLK-")
    }
}

impl FromStr for ProtocolViolation {
    type Err = UnknownLie;

    fn from_str(name: &str) -> Result<Self, UnknownLie> {
        Self::ALL.into_iter().find(|lie| lie.name() == name).ok_or_else(|| UnknownLie(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_lie_has_a_name_of_its_own_that_leads_back() {
        let names: BTreeSet<String> =
            ProtocolViolation::ALL.into_iter().map(ProtocolViolation::name).collect();
        assert_eq!(names.len(), ProtocolViolation::ALL.len());
        for lie in ProtocolViolation::ALL {
            assert_eq!(lie.name().parse(), Ok(lie));
            assert!(lie.is_for_disks() || lie.is_for_cards(), "{}", lie.name());
        }
        assert!("rng-11-back".parse::<ProtocolViolation>().is_ok());
    }

    #[test]
    fn an_unknown_name_is_answered_with_all_that_there_are() {
        let said = "nothing".parse::<ProtocolViolation>().expect_err("unknown").to_string();
        assert!(said.contains("`nothing`") && said.contains("net-14"), "{said}");
    }
}
