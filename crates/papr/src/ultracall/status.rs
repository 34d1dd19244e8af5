//! The status in r3 after an ultracall.

use super::Ultracall;
use core::fmt;

/// A named status. The published ultravisor (`include/uapi_uvcall.h`) and Linux (`asm/ultravisor-api.h`) disagree about
/// some numbers; this type then uses the name of the status that can reach a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UvStatus {
    /// U_SUCCESS: 0.
    Success,
    /// r3 still holds the opcode: the published ultravisor writes no status once a call's body runs,
    /// whether it succeeds or fails (`core/uvcall.c`).
    Unwritten(Ultracall),
    /// U_BUSY: 1, as Linux numbers it.
    Busy,
    /// U_NOT_AVAILABLE: 3, as Linux numbers it.
    NotAvailable,
    /// U_FUNCTION: -2. U_BUSY has the same number inside the ultravisor and never reaches a guest.
    Function,
    /// U_PARAMETER: -4.
    Parameter,
    /// U_RETRY: -5.
    Retry,
    /// U_HARDWARE: -6.
    Hardware,
    /// U_UNSUPPORTED: -7.
    Unsupported,
    /// U_PERMISSION: -11.
    Permission,
    /// U_WRONG_STATE: -14.
    WrongState,
    /// U_P2 to U_P5, -55..=-58: which argument was wrong, counted from 2.
    BadArgument(u8),
    /// U_BAD_MODE: -59.
    BadMode,
    /// U_STATE: -75.
    State,
    /// A number with no name in any source.
    Unknown(i64),
}

impl UvStatus {
    /// Names what `call` left in r3.
    #[must_use]
    pub fn of(call: Ultracall, r3: i64) -> Self {
        match r3 {
            0 => Self::Success,
            opcode if opcode == call as i64 => Self::Unwritten(call),
            1 => Self::Busy,
            3 => Self::NotAvailable,
            -2 => Self::Function,
            -4 => Self::Parameter,
            -5 => Self::Retry,
            -6 => Self::Hardware,
            -7 => Self::Unsupported,
            -11 => Self::Permission,
            -14 => Self::WrongState,
            -55 => Self::BadArgument(2),
            -56 => Self::BadArgument(3),
            -57 => Self::BadArgument(4),
            -58 => Self::BadArgument(5),
            -59 => Self::BadMode,
            -75 => Self::State,
            other => Self::Unknown(other),
        }
    }

    /// Whether no error was reported: a necessary condition of success, not a sufficient one.
    #[must_use]
    pub const fn reports_no_error(self) -> bool {
        matches!(self, Self::Success | Self::Unwritten(_))
    }

    /// Whether the same call may succeed a little later.
    #[must_use]
    pub const fn may_be_retried(self) -> bool {
        matches!(self, Self::Busy | Self::Retry)
    }
}

impl fmt::Display for UvStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("U_SUCCESS"),
            Self::Unwritten(call) => write!(f, "no status (r3 still {:#x})", *call as u64),
            Self::Busy => f.write_str("U_BUSY"),
            Self::NotAvailable => f.write_str("U_NOT_AVAILABLE"),
            Self::Function => f.write_str("U_FUNCTION"),
            Self::Parameter => f.write_str("U_PARAMETER"),
            Self::Retry => f.write_str("U_RETRY"),
            Self::Hardware => f.write_str("U_HARDWARE"),
            Self::Unsupported => f.write_str("U_UNSUPPORTED"),
            Self::Permission => f.write_str("U_PERMISSION"),
            Self::WrongState => f.write_str("U_WRONG_STATE"),
            Self::BadArgument(n) => write!(f, "U_P{n}"),
            Self::BadMode => f.write_str("U_BAD_MODE"),
            Self::State => f.write_str("U_STATE"),
            Self::Unknown(code) => write!(f, "unknown ultracall status {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn only_zero_and_the_call_s_own_opcode_report_no_error() {
        for r3 in [1, 3, -2, -4, -5, -6, -7, -11, -14, -55, -56, -57, -58, -59, -75, 2, 0xf134, i64::MIN] {
            assert!(!UvStatus::of(Ultracall::SharePage, r3).reports_no_error(), "{r3}");
        }
        assert!(UvStatus::of(Ultracall::SharePage, 0).reports_no_error());
        assert!(UvStatus::of(Ultracall::SharePage, 0xf130).reports_no_error());
    }

    #[test]
    fn a_status_is_shown_by_the_name_in_the_published_header() {
        let name = |r3| UvStatus::of(Ultracall::SharePage, r3).to_string();
        assert_eq!(name(-55), "U_P2");
        assert_eq!(name(-11), "U_PERMISSION");
        assert_eq!(name(0xf130), "no status (r3 still 0xf130)");
        assert_eq!(name(77), "unknown ultracall status 77");
    }
}
