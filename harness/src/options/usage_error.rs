//! Errors of the harness's command line.

use super::Action;
use crate::variable::BadVariable;
use postern_ultravisor::FaultError;
use std::fmt;

/// An error of the command line, printed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No subcommand.
    NoAction,
    /// A subcommand that does not exist.
    UnknownAction(String),
    /// A variable that does not exist.
    UnknownVariable(String),
    /// `--name` at the end.
    NoValue(String),
    /// A word that is no variable, where only variables are accepted.
    Stray(String),
    /// A variable of other subcommands.
    NotHere(String, Action),
    /// A variable that has no effect without this condition.
    NoEffect(&'static str, &'static str),
    /// A wrong value of a variable.
    Bad(BadVariable),
    /// `FAULTS=`.
    Faults(FaultError),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAction => {
                f.write_str("no command given; expected run, test, soak, list, table, version or help")
            }
            Self::UnknownAction(word) => {
                write!(f, "{word}: expected run, test, soak, list, table, version or help")
            }
            Self::UnknownVariable(name) => write!(f, "{name}: unknown variable; `help` lists all variables"),
            Self::NoValue(name) => write!(f, "{name}: no value given"),
            Self::Stray(word) => write!(f, "{word}: expected NAME=VALUE"),
            Self::NotHere(name, action) => {
                write!(f, "{name}: not a variable of `{}`; `help` lists all variables", action.name())
            }
            Self::NoEffect(name, unless) => write!(f, "{name}: has no effect without {unless}"),
            Self::Bad(bad) => write!(f, "{bad}"),
            Self::Faults(error) => write!(f, "FAULTS: {error}"),
        }
    }
}

impl std::error::Error for UsageError {}

impl From<BadVariable> for UsageError {
    fn from(bad: BadVariable) -> Self {
        Self::Bad(bad)
    }
}
