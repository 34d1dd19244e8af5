//! Ultracalls: numbers, names, and the return codes in r3.
//!
//! Source: open-power/ultravisor `include/uapi_uvcall.h`; `doc/ultravisor.rst`.

use std::fmt;
use std::str::FromStr;

/// Ultracalls that a guest may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Number {
    /// kernel base, FDT
    Esm = 0xf110,
    /// gfn, count
    SharePage = 0xf130,
    /// gfn, count
    UnsharePage = 0xf134,
    /// no arguments
    UnshareAllPages = 0xf140,
    /// offset, file name in eight registers
    EsmbGetFile = 0xf14c,
}

impl Number {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Esm, Self::SharePage, Self::UnsharePage, Self::UnshareAllPages, Self::EsmbGetFile];

    /// The call with this opcode in r3; `None` for one that a guest may not make.
    #[must_use]
    pub fn from_opcode(opcode: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|number| *number as u64 == opcode)
    }

    /// How many argument registers the call reads, from r4.
    #[must_use]
    pub fn arguments(self) -> usize {
        match self {
            Self::Esm | Self::SharePage | Self::UnsharePage => 2,
            Self::UnshareAllPages => 0,
            Self::EsmbGetFile => 9,
        }
    }
}

/// Opcodes of the hypervisor: a guest that makes one gets U_PERMISSION.
const HYPERVISOR_ONLY: [(u64, &str); 15] = [
    (0xf104, "UV_WRITE_PATE"),
    (0xf108, "UV_RESTRICTED_SPR_WRITE"),
    (0xf10c, "UV_RESTRICTED_SPR_READ"),
    (0xf114, "UV_READ_SCOM"),
    (0xf118, "UV_WRITE_SCOM"),
    (0xf11c, "UV_RETURN"),
    (0xf120, "UV_REGISTER_MEM_SLOT"),
    (0xf124, "UV_UNREGISTER_MEM_SLOT"),
    (0xf128, "UV_PAGE_IN"),
    (0xf12c, "UV_PAGE_OUT"),
    (0xf138, "UV_PAGE_INVAL"),
    (0xf13c, "UV_SVM_TERMINATE"),
    (0xf144, "UV_READ_MEM"),
    (0xf148, "UV_WRITE_MEM"),
    (0xf150, "UV_SEND_SBE_COMMAND"),
];

/// Whether only the hypervisor may make this call.
#[must_use]
pub fn is_hypervisor_only(opcode: u64) -> bool {
    HYPERVISOR_ONLY.iter().any(|(known, _)| *known == opcode)
}

/// The name of an opcode; `unknown` for one that no document lists.
#[must_use]
pub fn name(opcode: u64) -> &'static str {
    match Number::from_opcode(opcode) {
        Some(Number::Esm) => "UV_ESM",
        Some(Number::SharePage) => "UV_SHARE_PAGE",
        Some(Number::UnsharePage) => "UV_UNSHARE_PAGE",
        Some(Number::UnshareAllPages) => "UV_UNSHARE_ALL_PAGES",
        Some(Number::EsmbGetFile) => "UV_ESMB_GET_FILE",
        None => {
            HYPERVISOR_ONLY.iter().find(|(known, _)| *known == opcode).map_or("unknown", |(_, name)| name)
        }
    }
}

/// A return code: a 32-bit signed number, sign-extended into r3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub i32);

impl Code {
    /// Done.
    pub const SUCCESS: Self = Self(0);
    /// No such call.
    pub const FUNCTION: Self = Self(-2);
    /// First argument is wrong (and H_PARAMETER, UV_ESM's abort).
    pub const PARAMETER: Self = Self(-4);
    /// Try again.
    pub const RETRY: Self = Self(-5);
    /// The caller may not make this call in this state.
    pub const PERMISSION: Self = Self(-11);
    /// The hypervisor's H_STATE: too late for an abort.
    pub const STATE: Self = Self(-75);
    /// The value in r4 is wrong (r3 counts as the first parameter).
    pub const P2: Self = Self(-55);
    /// The value in r5 is wrong.
    pub const P3: Self = Self(-56);

    const NAMES: [(i32, &'static str); 13] = [
        (0, "U_SUCCESS"),
        (1, "U_BUSY"),
        (3, "U_NOT_AVAILABLE"),
        (-2, "U_FUNCTION"),
        (-4, "U_PARAMETER"),
        (-5, "U_RETRY"),
        (-11, "U_PERMISSION"),
        (-55, "U_P2"),
        (-56, "U_P3"),
        (-57, "U_P4"),
        (-58, "U_P5"),
        (-59, "U_BAD_MODE"),
        (-75, "U_STATE"),
    ];

    /// The code as r3 holds it.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "r3 carries the sign-extended code")]
    pub fn register(self) -> u64 {
        i64::from(self.0) as u64
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(value, _)| *value == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text that is neither a code's name nor a signed 32-bit number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode(pub String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no ultracall return code", self.0)
    }
}

impl std::error::Error for UnknownCode {}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        match Self::NAMES.iter().find(|(_, name)| *name == text) {
            Some((value, _)) => Ok(Self(*value)),
            None => text.parse().map(Self).map_err(|_| UnknownCode(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sign_extended_and_named() {
        assert_eq!(Code::PERMISSION.register(), 0xffff_ffff_ffff_fff5);
        assert_eq!(Code::PERMISSION.to_string(), "U_PERMISSION");
        assert_eq!("U_P3".parse(), Ok(Code::P3));
        assert_eq!("-1234".parse(), Ok(Code(-1234)));
        assert!("U_INVALID".parse::<Code>().is_err(), "the documents give U_INVALID no number");
    }

    #[test]
    fn opcodes_are_told_apart() {
        assert_eq!(Number::from_opcode(0xf130), Some(Number::SharePage));
        assert_eq!(Number::from_opcode(0xf104), None);
        assert!(is_hypervisor_only(0xf104));
        assert!(!is_hypervisor_only(0xf130));
        assert_eq!(name(0xf150), "UV_SEND_SBE_COMMAND");
        assert_eq!(name(0x1234), "unknown");
    }
}
