//! What is written down of a case.

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
