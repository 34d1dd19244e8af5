//! Faults that the ultravisor commits on request, and their texts on the command line.
//!
//! One fault is `CALL:WHEN=WHAT`, several are joined by commas:
//!
//! | text | effect |
//! |---|---|
//! | `share:1=U_P2` | the first UV_SHARE_PAGE does nothing and answers U_P2 |
//! | `any:3=-11` | the third ultracall, whichever it is, answers -11 |
//! | `share:all=U_P2` | no UV_SHARE_PAGE ever succeeds |
//! | `share:retry=3` | the first three answer U_RETRY, the fourth is served |
//! | `share:retry=forever` | U_RETRY without end |
//! | `share:silent` | every share reports success and does not happen |
//! | `share:2=silent` | the same for the second share alone |
//! | `esm:before=U_RETRY` | UV_ESM refused with a code before H_SVM_INIT_START |
//! | `esm:after` | UV_ESM aborted just before H_SVM_INIT_DONE: the guest goes on as a normal VM with r3 = -4 |
//!
//! Calls are `share`, `unshare`, `unshare-all`, `esm`, `file` (UV_ESMB_GET_FILE) and `any`; codes are names (`U_P2`) or
//! signed numbers. Texts about a whole run are in [`super::condition`].

use std::fmt;
use std::str::FromStr;

use super::call::{Code, Number};
use super::condition::Conditions;

/// Which calls a fault counts and hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Calls of this one number.
    Call(Number),
    /// Every `sc 2`, unknown numbers included.
    Any,
}

/// Which of the target's calls are hit, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The n-th alone.
    Nth(u64),
    /// The first n.
    First(u64),
    /// All of them.
    Always,
}

/// What the call does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changes and r3 becomes this code.
    Answer(Code),
    /// Nothing changes, and the answer reports success.
    Silent,
    /// UV_ESM only: aborted after H_SVM_INIT_START.
    AbortEsm,
}

/// One fault: which calls, which of them, and what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Calls that are counted.
    pub target: Target,
    /// Which of them are hit.
    pub when: When,
    /// What happens to those.
    pub effect: Effect,
}

impl When {
    fn hits(self, nth: u64) -> bool {
        match self {
            Self::Nth(n) => nth == n,
            Self::First(n) => nth <= n,
            Self::Always => true,
        }
    }
}

/// All faults of a run. The first that fits a call decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    calls: Vec<Fault>,
    /// Conditions of the whole run.
    pub conditions: Conditions,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether every call is served as it should be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The fault of a call, if any. It is the `nth_of_call`-th of its number and the `nth_of_all`-th ultracall of the run,
    /// both counted from 1.
    #[must_use]
    pub fn effect(&self, number: Option<Number>, nth_of_call: u64, nth_of_all: u64) -> Option<Effect> {
        self.calls
            .iter()
            .find(|fault| match fault.target {
                Target::Any => fault.when.hits(nth_of_all),
                Target::Call(target) => number == Some(target) && fault.when.hits(nth_of_call),
            })
            .map(|fault| fault.effect)
    }
}

/// Why a fault's text was not understood; each holds the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// No `:` between the call and the rest.
    NoCall(String),
    /// Not one of `share`, `unshare`, `unshare-all`, `esm`, `file`, `any`.
    UnknownCall(String),
    /// Not a count from 1, `all`, `retry`, `before`, `silent` or `after`.
    UnknownMoment(String),
    /// Neither a code's name nor a signed number.
    UnknownCode(String),
    /// `retry=` takes a count from 1 or `forever`.
    BadRetry(String),
    /// `before` and `after` belong to `esm`; `silent` belongs to the three share calls.
    WrongCall(String),
    /// Not the byte, or not the range of whole frames, that the condition takes.
    BadCondition(String),
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCall(text) => write!(f, "fault `{text}`: expected CALL:WHEN=WHAT"),
            Self::UnknownCall(text) => {
                write!(f, "fault `{text}`: the call is one of share, unshare, unshare-all, esm, file, any")
            }
            Self::UnknownMoment(text) => write!(
                f,
                "fault `{text}`: after the call comes N=CODE, all=CODE, retry=N, retry=forever, silent, \
                 N=silent, before=CODE or after"
            ),
            Self::UnknownCode(text) => {
                write!(f, "fault `{text}`: the code is a name such as U_P2 or a signed number")
            }
            Self::BadRetry(text) => write!(f, "fault `{text}`: retry takes a count from 1 or `forever`"),
            Self::WrongCall(text) => {
                write!(f, "fault `{text}`: before and after belong to esm, silent to share and unshare")
            }
            Self::BadCondition(text) => write!(
                f,
                "fault `{text}`: expected esm:warn-only, esm:poison=code, esm:poison=BYTE, esm:exit=VECTOR, \
                 esm:boot-cpu=N, ram:fill=BYTE or ram:outside=START+SIZE in whole 64 KiB frames"
            ),
        }
    }
}

impl std::error::Error for FaultError {}

const CALLS: [(&str, Target); 6] = [
    ("share", Target::Call(Number::SharePage)),
    ("unshare", Target::Call(Number::UnsharePage)),
    ("unshare-all", Target::Call(Number::UnshareAllPages)),
    ("esm", Target::Call(Number::Esm)),
    ("file", Target::Call(Number::EsmbGetFile)),
    ("any", Target::Any),
];

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let whole = || text.to_owned();
        let (call, rest) = text.split_once(':').ok_or_else(|| FaultError::NoCall(whole()))?;
        let target = CALLS
            .iter()
            .find(|(name, _)| *name == call)
            .map(|(_, target)| *target)
            .ok_or_else(|| FaultError::UnknownCall(whole()))?;
        let is_esm = target == Target::Call(Number::Esm);
        let can_be_silent =
            matches!(target, Target::Call(number) if !matches!(number, Number::Esm | Number::EsmbGetFile));

        let code = |text: &str| text.parse::<Code>().map_err(|_| FaultError::UnknownCode(whole()));
        let effect = |what: &str| match what {
            "silent" if can_be_silent => Ok(Effect::Silent),
            "silent" => Err(FaultError::WrongCall(whole())),
            what => code(what).map(Effect::Answer),
        };
        let (when, effect) = match rest.split_once('=') {
            None => match rest {
                "silent" => (When::Always, effect("silent")?),
                "after" if is_esm => (When::Always, Effect::AbortEsm),
                "after" => return Err(FaultError::WrongCall(whole())),
                _ => return Err(FaultError::UnknownMoment(whole())),
            },
            Some(("retry", "forever")) => (When::Always, Effect::Answer(Code::RETRY)),
            Some(("retry", count)) => {
                let count = count.parse().ok().filter(|n| *n > 0);
                let count = count.ok_or_else(|| FaultError::BadRetry(whole()))?;
                (When::First(count), Effect::Answer(Code::RETRY))
            }
            Some(("before", what)) if is_esm => (When::Always, Effect::Answer(code(what)?)),
            Some(("before", _)) => return Err(FaultError::WrongCall(whole())),
            Some(("all", what)) => (When::Always, effect(what)?),
            Some((nth, what)) => {
                let nth = nth.parse().ok().filter(|n| *n > 0);
                let nth = nth.ok_or_else(|| FaultError::UnknownMoment(whole()))?;
                (When::Nth(nth), effect(what)?)
            }
        };
        Ok(Self { target, when, effect })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = CALLS.iter().find(|(_, target)| *target == self.target).map_or("any", |(name, _)| name);
        write!(f, "{call}:")?;
        match (self.when, self.effect) {
            (_, Effect::AbortEsm) => write!(f, "after"),
            (When::Always, Effect::Silent) => write!(f, "silent"),
            (When::Nth(n), Effect::Silent) => write!(f, "{n}=silent"),
            (When::First(n), Effect::Answer(Code::RETRY)) => write!(f, "retry={n}"),
            (When::Always, Effect::Answer(Code::RETRY)) => write!(f, "retry=forever"),
            (When::Nth(n), Effect::Answer(code)) => write!(f, "{n}={code}"),
            (When::Always, Effect::Answer(code)) if call == "esm" => write!(f, "before={code}"),
            (When::Always, Effect::Answer(code)) => write!(f, "all={code}"),
            // No text asks for `first`; it shows a fault that was made in code.
            (When::First(n), Effect::Answer(code)) => write!(f, "first {n}={code}"),
            (When::First(n), Effect::Silent) => write!(f, "first {n}=silent"),
        }
    }
}

impl FromStr for Faults {
    type Err = FaultError;

    /// An empty text means no faults.
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut faults = Self::default();
        for text in text.split(',').filter(|fault| !fault.is_empty()) {
            if !faults.conditions.take(text)? {
                faults.calls.push(text.parse()?);
            }
        }
        Ok(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls.iter().map(Fault::to_string);
        f.write_str(&calls.chain(self.conditions.texts()).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "share:1=U_P2",
            "unshare:7=-4096",
            "unshare-all:all=U_FUNCTION",
            "any:3=U_PERMISSION",
            "share:retry=3",
            "share:retry=forever",
            "share:silent",
            "share:2=silent",
            "esm:before=U_P2",
            "esm:after",
            "file:2=65",
            "file:all=64",
            "share:1=U_P2,esm:after",
            "share:silent,esm:warn-only",
        ] {
            let faults: Faults = text.parse().expect(text);
            assert_eq!(faults.to_string(), text);
        }
        assert!("".parse::<Faults>().expect("empty").is_empty());
    }

    #[test]
    fn a_bad_fault_is_refused_by_name() {
        let error = |text: &str| text.parse::<Faults>().expect_err(text);
        assert_eq!(error("silent"), FaultError::NoCall("silent".into()));
        assert_eq!(error("give:1=U_P2"), FaultError::UnknownCall("give:1=U_P2".into()));
        assert_eq!(error("share:0=U_P2"), FaultError::UnknownMoment("share:0=U_P2".into()));
        assert_eq!(error("share:often"), FaultError::UnknownMoment("share:often".into()));
        assert_eq!(error("share:1=U_P9"), FaultError::UnknownCode("share:1=U_P9".into()));
        assert_eq!(error("share:retry=never"), FaultError::BadRetry("share:retry=never".into()));
        assert_eq!(error("share:retry=0"), FaultError::BadRetry("share:retry=0".into()));
        assert_eq!(error("share:after"), FaultError::WrongCall("share:after".into()));
        assert_eq!(error("share:before=U_P2"), FaultError::WrongCall("share:before=U_P2".into()));
        assert_eq!(error("file:silent"), FaultError::WrongCall("file:silent".into()));
        assert_eq!(error("esm:silent"), FaultError::WrongCall("esm:silent".into()));
    }

    #[test]
    fn a_fault_hits_the_calls_it_names_and_no_other() {
        let share = Some(Number::SharePage);
        let second: Faults = "share:2=U_P2".parse().expect("fault");
        assert_eq!(second.effect(share, 1, 1), None);
        assert_eq!(second.effect(share, 2, 5), Some(Effect::Answer(Code::P2)));
        assert_eq!(second.effect(share, 3, 6), None);
        assert_eq!(second.effect(Some(Number::UnsharePage), 2, 2), None);
        let overall: Faults = "any:2=U_FUNCTION".parse().expect("fault");
        assert_eq!(overall.effect(share, 1, 2), Some(Effect::Answer(Code::FUNCTION)));
        assert_eq!(overall.effect(None, 1, 2), Some(Effect::Answer(Code::FUNCTION)));
        let retry: Faults = "share:retry=2".parse().expect("fault");
        assert_eq!(retry.effect(share, 2, 2), Some(Effect::Answer(Code::RETRY)));
        assert_eq!(retry.effect(share, 3, 3), None);
        let forever: Faults = "share:retry=forever".parse().expect("fault");
        assert_eq!(forever.effect(share, u64::MAX, u64::MAX), Some(Effect::Answer(Code::RETRY)));
    }
}
