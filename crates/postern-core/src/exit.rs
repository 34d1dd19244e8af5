//! How a run ends: the number after `EXIT: STATUS=`, the last line of every run.

use core::fmt;

/// Why the run ended. The numbers are a protocol with the program that started the machine (`docs/exit-codes.md`): none
/// ever gets a second meaning. 1 belongs to the runner itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Everything asked for was done.
    Done = 0,
    /// The device tree is malformed, or describes no machine that can be run.
    BadDeviceTree = 2,
    /// The command line has an unknown option or a malformed value.
    BadCommandLine = 3,
    /// UV_ESM failed, or what the platform says about secure mode contradicts itself.
    SecureModeFailed = 4,
    /// The pool could not be shared.
    PoolNotShared = 5,
    /// A device that was asked for is missing, refused or broken, or its I/O failed.
    DeviceFailed = 6,
    /// Data did not read back as written.
    VerificationFailed = 7,
    /// An unexpected exception.
    UnexpectedException = 8,
    /// A panic.
    Panic = 9,
    /// No memory is left.
    OutOfMemory = 10,
    /// An address outside the shared pool was about to reach a device.
    ConfidentialityHalt = 11,
    /// The CPU is older than POWER9, or the hypervisor refused what every pseries offers: little-endian interrupts,
    /// radix translation.
    PlatformRefused = 12,
    /// Another CPU does not release a lock that this one needs to go on.
    CpuStopped = 13,
    /// A test of `test=` failed.
    TestFailed = 14,
}

impl ExitStatus {
    /// Every status.
    pub const ALL: [Self; 14] = [
        Self::Done,
        Self::BadDeviceTree,
        Self::BadCommandLine,
        Self::SecureModeFailed,
        Self::PoolNotShared,
        Self::DeviceFailed,
        Self::VerificationFailed,
        Self::UnexpectedException,
        Self::Panic,
        Self::OutOfMemory,
        Self::ConfidentialityHalt,
        Self::PlatformRefused,
        Self::CpuStopped,
        Self::TestFailed,
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether the run counts as successful.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Done)
    }

    /// The status with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

/// The explanation of a status in docs/exit-codes.md.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The status.
    pub status: ExitStatus,
    /// What it means.
    pub meaning: &'static str,
    /// Where to look for the cause.
    pub look_at: &'static str,
}

const fn explain(status: ExitStatus, meaning: &'static str, look_at: &'static str) -> Explanation {
    Explanation { status, meaning, look_at }
}

/// Every status with its meaning. No image has this: `make lists` writes docs/exit-codes.md from it.
pub const EXPLANATIONS: [Explanation; 14] = [
    explain(
        ExitStatus::Done,
        "everything asked for was done: `work.done` equals `work.asked`, no device was left out, nothing is exposed",
        "",
    ),
    explain(
        ExitStatus::BadDeviceTree,
        "the device tree is malformed, or describes no machine that can be run",
        "the named error above it; for memory with two owners, both and their ranges",
    ),
    explain(
        ExitStatus::BadCommandLine,
        "the command line has an unknown option or a malformed value",
        "the option and value are named; `make help` lists them",
    ),
    explain(
        ExitStatus::SecureModeFailed,
        "UV_ESM failed, what the platform says about secure mode contradicts itself, or the ultravisor does not give the \
            file that `secret=` names",
        "the ultracall's return code, by name; see [the decision table](design.md#secure-or-not)",
    ),
    explain(
        ExitStatus::PoolNotShared,
        "the pool could not be shared",
        "the range and the code; after a share that reported no error: the frames that did not read back as zeros",
    ),
    explain(
        ExitStatus::DeviceFailed,
        "a device that was asked for is missing, refused or broken, or its I/O failed; a step of `run=` found nothing to work on, or could not do all of its work",
        "the device and the reason: a refused feature, its first violation of the protocol, a time-out, a full pool, an empty disk, last bytes that are no whole block",
    ),
    explain(ExitStatus::VerificationFailed, "data came back other than it was written", "the offset"),
    explain(
        ExitStatus::UnexpectedException,
        "an exception that nobody handles",
        "the offset in the image, which `powerpc64le-linux-gnu-addr2line -e build/postern.elf` names the line of; in an ordinary guest also registers and the back-chain. `halt: vector` instead: it came where none can be handled, or big-endian",
    ),
    explain(
        ExitStatus::Panic,
        "a panic",
        "file and line; in an ordinary guest also its message and the back-chain",
    ),
    explain(
        ExitStatus::OutOfMemory,
        "no memory is left",
        "in a secure VM also: no memory could be proved to be the VM's own; each run that failed is named",
    ),
    explain(
        ExitStatus::ConfidentialityHalt,
        "an address outside the shared pool was about to reach a device, or pages besides the pool are mapped for devices at the end",
        "nothing went out: the check stands before the descriptor is written; or `pages.exposed`, which is not 0, or `unknown` when the hypervisor does not let the windows be read",
    ),
    explain(
        ExitStatus::PlatformRefused,
        "the CPU is older than POWER9, or held to the mode of one, or the hypervisor refused what every pseries offers: little-endian interrupts, radix translation",
        "the CPU by name and version (PVR), and what is wanted: `-cpu power9`, no `max-cpu-compat=power8`; or the call and its return code",
    ),
    explain(
        ExitStatus::CpuStopped,
        "a CPU stands still with what the others need (the heap), and they cannot go on; or the CPU that booted does, and a parked one has seen nobody do anything for 20 s",
        "what it stands still with; a hypervisor that stopped a vCPU for good. Where they can go on, they do: 6, with the same error",
    ),
    explain(
        ExitStatus::TestFailed,
        "a test of `test=` failed (test image only)",
        "the line `not ok` with the test's name, and the message after it; `docs/tests.tsv` says what the test shows",
    ),
];

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::BadDeviceTree => "bad device tree",
            Self::BadCommandLine => "bad command line",
            Self::SecureModeFailed => "secure mode could not be entered or contradicts itself",
            Self::PoolNotShared => "pool could not be shared",
            Self::DeviceFailed => "device missing, refused, broken or failing",
            Self::VerificationFailed => "verification failed",
            Self::UnexpectedException => "unexpected exception",
            Self::Panic => "panic",
            Self::OutOfMemory => "out of memory",
            Self::ConfidentialityHalt => "address outside the shared pool",
            Self::PlatformRefused => "CPU too old, or a service of the platform refused",
            Self::CpuStopped => "a CPU stands still with what the others need",
            Self::TestFailed => "a test of test= failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;
    use std::vec::Vec;

    #[test]
    fn numbers_are_those_of_the_protocol() {
        let codes: Vec<u8> = ExitStatus::ALL.iter().map(|status| status.code()).collect();
        assert_eq!(codes, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    }

    #[test]
    fn only_done_is_success() {
        for status in ExitStatus::ALL {
            assert_eq!(status.is_success(), status.code() == 0, "{status}");
            assert_eq!(ExitStatus::from_code(status.code()), Some(status));
        }
        assert_eq!(ExitStatus::from_code(1), None);
    }
}
