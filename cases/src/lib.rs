//! What a lying host does, and the answer this kernel owes: one list, which host tests, fuzz targets and
//! end-to-end runs refer to, and from which `docs/hostile-cases.md` is generated.
//!
//! A test says which case it stands for, and which answer its assertions demand, with [`case!`]:
//!
//! ```
//! // inside a #[test] function
//! postern_cases::case!("RNG-01", Break);
//! ```
//!
//! An unknown case, or an answer that the case does not allow, is an error of the compiler. The program of
//! this crate finds the marks in the sources and fails when a case has none.
#![no_std]

mod table;

pub use table::FAMILIES;

/// How this kernel answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The device (or bridge) is not used; the log says why, and the boot goes on.
    Refuse,
    /// The device is latched broken: reset, requests failed, memory kept from use until the reset is confirmed.
    Break,
    /// This packet or result is discarded and counted.
    Drop,
    /// The smaller of the claimed and the own value is used.
    Clamp,
    /// Tried again, within a bound; then the caller gives up.
    Retry,
    /// The run ends with a reason and a failing status.
    Halt,
    /// Nothing depends on it.
    Ignore,
    /// The request, and only it, ends with a named error.
    Fail,
    /// Legal: it has to work.
    Work,
    /// Memory in doubt is never used, read or freed again.
    Quarantine,
    /// Another way is taken that needs nothing of what was refused.
    Fallback,
}

impl Response {
    /// The word in the generated table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Break => "break",
            Self::Drop => "drop",
            Self::Clamp => "clamp",
            Self::Retry => "retry",
            Self::Halt => "halt",
            Self::Ignore => "ignore",
            Self::Fail => "fail",
            Self::Work => "work",
            Self::Quarantine => "quarantine",
            Self::Fallback => "fall back",
        }
    }
}

/// Where a case is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// On the host, against a model of the machine.
    H,
    /// By a fuzz target that can produce it.
    F,
    /// In QEMU, with the emulated ultravisor or a doctored tree.
    M,
    /// In QEMU, end to end, with a hostile device where the case needs one.
    Q,
    /// By a check of the image, without running it.
    C,
}

impl Level {
    /// The letter in the generated table.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::H => "H",
            Self::F => "F",
            Self::M => "M",
            Self::Q => "Q",
            Self::C => "C",
        }
    }
}

/// Whether a case can happen to this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// It is tried at these levels.
    Tried(&'static [Level]),
    /// It cannot happen, because.
    NotApplicable(&'static str),
    /// The guest can neither notice nor prevent it; what follows is written down.
    Limit(&'static str),
}

/// One concrete input from a host that lies.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Family and number.
    pub id: &'static str,
    /// What the host does.
    pub input: &'static str,
    /// Answers that are right.
    pub required: &'static [Response],
    /// What the answer comes to.
    pub answer: &'static str,
    /// Where it is tried.
    pub scope: Scope,
}

/// Cases that begin with the same letters.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What they are about.
    pub title: &'static str,
    /// The cases.
    pub cases: &'static [Case],
}

/// A test's statement: this case is tried here, and this is the answer that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// The case.
    pub case: &'static Case,
    /// The answer that the test demands.
    pub response: Response,
    /// Where it is tried.
    pub level: Level,
}

/// Every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    FAMILIES.iter().flat_map(|family| family.cases)
}

/// The case with this name.
#[must_use]
pub const fn find(id: &str) -> Option<&'static Case> {
    let mut family = 0;
    while family < FAMILIES.len() {
        let cases = FAMILIES[family].cases;
        let mut index = 0;
        while index < cases.len() {
            if equal(cases[index].id, id) {
                return Some(&cases[index]);
            }
            index += 1;
        }
        family += 1;
    }
    None
}

/// What [`case!`] stands for; evaluated by the compiler.
#[must_use]
pub const fn observed(id: &str, response: Response, level: Level) -> Observation {
    let Some(case) = find(id) else { panic!("no such case") };
    let mut index = 0;
    while index < case.required.len() {
        if case.required[index] as u8 == response as u8 {
            return Observation { case, response, level };
        }
        index += 1;
    }
    panic!("this answer is not one that the case allows")
}

const fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// States which case a test stands for and which answer it demands; an [`Observation`]. The level is H, in a
/// `#[test]` function, unless it is given.
#[macro_export]
macro_rules! case {
    ($id:literal, $response:ident) => {
        $crate::case!($id, $response, H)
    };
    ($id:literal, $response:ident, $level:ident) => {
        const { $crate::observed($id, $crate::Response::$response, $crate::Level::$level) }
    };
}

/// States which cases the inputs of a fuzz target reach.
#[macro_export]
macro_rules! fuzzed {
    ($($id:literal),* $(,)?) => {
        const _: () = { $(assert!($crate::find($id).is_some());)* };
    };
}
