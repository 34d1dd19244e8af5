//! How a run ends: the number after `EXIT: STATUS=`, the last line of every run.

use core::fmt;

/// Why the run ended. The numbers are a protocol with the program that started the machine (`docs/exit-codes.md`): none
/// ever gets a second meaning. 1 belongs to the runner itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// All the work was done.
    Done = 0,
    /// The device tree is malformed, or describes no machine that can be run.
    BadDeviceTree = 2,
    /// The command line has an unknown option or a malformed value.
    BadCommandLine = 3,
    /// UV_ESM failed, the platform contradicts itself about secure mode, or the file of `secret=` is missing.
    SecureModeFailed = 4,
    /// The pool could not be shared.
    PoolNotShared = 5,
    /// A requested device is missing, refused or broken, or its I/O failed.
    DeviceFailed = 6,
    /// Data did not read back as written.
    VerificationFailed = 7,
    /// An unexpected exception.
    UnexpectedException = 8,
    /// A panic.
    Panic = 9,
    /// No memory is left.
    OutOfMemory = 10,
    /// An address outside the shared pool was about to reach a device, or pages outside the pool are mapped at the end.
    ConfidentialityHalt = 11,
    /// The CPU is older than POWER9, or the hypervisor refused a service that every pseries machine has.
    PlatformRefused = 12,
    /// Another CPU is stopped: it holds a lock that this one needs, or it is the boot CPU.
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
        "all the work was done: `work.done` equals `work.asked`, no device was left out, and nothing is exposed",
        "",
    ),
    explain(
        ExitStatus::BadDeviceTree,
        "the device tree is malformed, or describes a machine that cannot run the guest",
        "the error above the status line; if memory has two owners, it names both with their ranges",
    ),
    explain(
        ExitStatus::BadCommandLine,
        "the command line has an unknown option or an invalid value",
        "the error names the option and the value; `make help` lists them",
    ),
    explain(
        ExitStatus::SecureModeFailed,
        "UV_ESM failed, the platform contradicts itself about secure mode, or the ultravisor does not return the file that `secret=` names",
        "the error names the ultracall's return code; see [the decision table](design.md#secure-or-not)",
    ),
    explain(
        ExitStatus::PoolNotShared,
        "the pool could not be shared",
        "the error names the range and the return code, or the frames that did not read back as zeros after a share without an error",
    ),
    explain(
        ExitStatus::DeviceFailed,
        "a requested device is missing, refused or broken, or its I/O failed; or a step of `run=` had nothing to work on, or did only part of its work",
        "the error names the device and the reason: a refused feature, its first violation of the protocol, a time-out, a full pool, an empty disk, or last bytes that are not a whole block",
    ),
    explain(
        ExitStatus::VerificationFailed,
        "data that was read back differs from what was written; in the test image also: a `breach-*` step raised no exception",
        "the error names the offset",
    ),
    explain(
        ExitStatus::UnexpectedException,
        "an exception that no handler expects",
        "the report names the offset in the image; `powerpc64le-linux-gnu-addr2line -e build/postern.elf` prints the source line of that offset. An ordinary guest also prints registers and the back-trace. `halt: vector` instead of a report: the exception came where no report is possible, or in big-endian mode",
    ),
    explain(
        ExitStatus::Panic,
        "a panic",
        "the report names file and line; an ordinary guest also prints the message and the back-trace",
    ),
    explain(
        ExitStatus::OutOfMemory,
        "no memory is left",
        "in a secure VM also: no memory could be proved to be the VM's own; the errors name each run of frames that failed",
    ),
    explain(
        ExitStatus::ConfidentialityHalt,
        "an address outside the shared pool was about to reach a device, or pages outside the pool are mapped for devices at the end",
        "in the first case nothing left the guest: the check comes before the descriptor is written. In the second case `pages.exposed` is not 0, or is `unknown` because the hypervisor does not let the guest read the windows",
    ),
    explain(
        ExitStatus::PlatformRefused,
        "the CPU is older than POWER9 or runs in the mode of an older one, or the hypervisor refused a service that every pseries machine has: little-endian interrupts, radix translation",
        "the error names the CPU with its version (PVR) and what the guest needs: `-cpu power9`, no `max-cpu-compat=power8`; or the call and its return code",
    ),
    explain(
        ExitStatus::CpuStopped,
        "a stopped CPU holds a lock without which the other CPUs cannot continue (the heap's); or the boot CPU is stopped, and a parked CPU has seen no progress of any CPU for 20 s",
        "the error names the lock or the CPU; the cause is a hypervisor that stopped a vCPU for good. If the other CPUs can continue without the lock, they do: the run then ends with status 6 and the same error",
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
            Self::SecureModeFailed => {
                "secure mode could not be entered, or the platform contradicts itself about it"
            }
            Self::PoolNotShared => "pool could not be shared",
            Self::DeviceFailed => "device missing, refused, broken or failing",
            Self::VerificationFailed => "verification failed",
            Self::UnexpectedException => "unexpected exception",
            Self::Panic => "panic",
            Self::OutOfMemory => "out of memory",
            Self::ConfidentialityHalt => "address outside the shared pool",
            Self::PlatformRefused => "CPU too old, or a platform service refused",
            Self::CpuStopped => "a stopped CPU holds a lock that others need",
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
