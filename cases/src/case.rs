//! The parts of a case.

/// The kernel's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The device (or bridge) is not used; the log says why, and the boot goes on.
    Refuse,
    /// The device is latched broken: reset, requests failed, memory kept from use until the reset is confirmed.
    Break,
    /// This packet or result is discarded and counted.
    Drop,
    /// The smaller one of the host's and the kernel's value is used.
    Clamp,
    /// The operation is repeated within a bound; then the caller gives up.
    Retry,
    /// The run ends with a reason and a failing status.
    Halt,
    /// The input has no effect.
    Ignore,
    /// The request, and only it, ends with a named error.
    Fail,
    /// The input is legal and has to work.
    Work,
    /// Memory whose state is unknown is never used, read or freed again.
    Quarantine,
    /// Another way is used that does not need the refused part.
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

/// Where a case is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// On the host, against a model of the machine.
    H,
    /// By a fuzz target that can produce it.
    F,
    /// In QEMU, with the emulated ultravisor or a changed tree.
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

/// Whether a case can occur in this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// It is tested at these levels.
    Tried(&'static [Level]),
    /// It cannot occur, for this reason.
    NotApplicable(&'static str),
    /// The guest can neither notice nor prevent it; this is the consequence.
    Limit(&'static str),
}

/// One concrete input from a hostile host.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Family and number.
    pub id: &'static str,
    /// The host's action.
    pub input: &'static str,
    /// The correct responses.
    pub required: &'static [Response],
    /// The response in words.
    pub answer: &'static str,
    /// Where it is tested.
    pub scope: Scope,
}

/// Cases that begin with the same letters.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The family's title.
    pub title: &'static str,
    /// The cases.
    pub cases: &'static [Case],
}
